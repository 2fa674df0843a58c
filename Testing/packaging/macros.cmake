# Stand-in for the macros that Slicer gives to scripted modules. It follows UseSlicer.cmake.in,
# SlicerMacroBuildScriptedModule.cmake and SlicerMacroPythonTesting.cmake in Slicer/CMake and CTK's
# ctkMacroCompilePythonScript.cmake, and refuses more than they do: every file has to be named in full and to be there,
# once, inside the module's own folder.

option(BUILD_TESTING "Build the tests" ON)
if(BUILD_TESTING)
  enable_testing()
endif()
set(EXTENSION_NAME ${PROJECT_NAME})

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NAME OR NOT MY_SCRIPTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: wrong arguments: ${ARGN}")
  endif()
  set(destination ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}) # one flat folder for all modules
  set(copies)
  foreach(file IN LISTS MY_SCRIPTS MY_RESOURCES)
    check_module_file(${MY_NAME} "${file}")
    add_custom_command(
      OUTPUT ${destination}/${file}
      COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_SOURCE_DIR}/${file} ${destination}/${file}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file}
      )
    list(APPEND copies ${destination}/${file})
  endforeach()
  add_custom_target(${MY_NAME} ALL DEPENDS ${copies})
  install(DIRECTORY ${destination}/
    DESTINATION ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}
    COMPONENT RuntimeLibraries
    USE_SOURCE_PERMISSIONS
    )
  if(BUILD_TESTING AND MY_WITH_GENERIC_TESTS)
    add_test(NAME py_nomainwindow_qSlicer${MY_NAME}ModuleGenericTest COMMAND ${Slicer_LAUNCHER_EXECUTABLE})
  endif()
endfunction()

function(check_module_file module file)
  if(IS_ABSOLUTE "${file}" OR "${file}" MATCHES "\\.\\." OR "${file}" MATCHES "[*?;]")
    message(FATAL_ERROR "${module}: '${file}' does not stay in the module's folder.")
  endif()
  if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file} OR IS_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    message(FATAL_ERROR "${module}: there is no file '${file}'.")
  endif()
  string(TOLOWER "${file}" lower)
  get_property(taken GLOBAL PROPERTY CHMFL_INSTALLED)
  if(lower IN_LIST taken)
    message(FATAL_ERROR "${module}: '${file}' is listed twice, or would overwrite another module's.")
  endif()
  set_property(GLOBAL APPEND PROPERTY CHMFL_INSTALLED "${lower}")
endfunction()

function(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_SCRIPT)
    message(FATAL_ERROR "slicer_add_python_unittest: wrong arguments: ${ARGN}")
  endif()
  if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT})
    message(FATAL_ERROR "slicer_add_python_unittest: there is no file '${MY_SCRIPT}'.")
  endif()
  get_filename_component(name ${MY_SCRIPT} NAME_WE)
  add_test(NAME py_${MY_TESTNAME_PREFIX}${name} COMMAND ${Slicer_LAUNCHER_EXECUTABLE})
endfunction()
