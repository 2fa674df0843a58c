# What find_package(Slicer) finds in Testing/library/house/test_packaging.py: the settings of an installed Slicer 5.12, and one
# of two sets of macros:
# - macros.cmake, a small stand-in, for machines with nothing but CMake;
# - real_macros.cmake, Slicer's and CTK's own, where CHMFL_SLICER_SOURCE and CHMFL_CTK_SOURCE name their sources.

# Slicer/CMake/SlicerConfig.cmake.in refuses a build whose word size is not Slicer's.
if(DEFINED CMAKE_SIZEOF_VOID_P AND NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
  message(FATAL_ERROR "Slicer is a 64 bit program.")
endif()

set(Slicer_USE_PYTHONQT ON)
set(Slicer_OS "linux")
set(Slicer_ARCHITECTURE "amd64")
set(Slicer_REVISION "34000")
set(Slicer_LAUNCHER_EXECUTABLE "Slicer")

# Slicer/CMake/SlicerDirectories.cmake
set(Slicer_INSTALL_ROOT "./")
set(Slicer_SHARE_DIR "share/Slicer-5.12")
set(Slicer_LIB_DIR "lib/Slicer-5.12")
foreach(kind IN ITEMS QTSCRIPTEDMODULES QTLOADABLEMODULES CLIMODULES)
  string(REPLACE "MODULES" "-modules" folder ${kind})
  string(REPLACE "QT" "qt-" folder ${folder})
  string(TOLOWER ${folder} folder)
  set(Slicer_${kind}_LIB_DIR "${Slicer_LIB_DIR}/${folder}")
  set(Slicer_INSTALL_${kind}_LIB_DIR "${Slicer_INSTALL_ROOT}${Slicer_${kind}_LIB_DIR}")
endforeach()

if(CHMFL_SLICER_SOURCE)
  include(${CMAKE_CURRENT_LIST_DIR}/real_macros.cmake)
else()
  set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/macros.cmake)
  set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/check_targets.cmake)
  set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/check_metadata.cmake)
endif()
