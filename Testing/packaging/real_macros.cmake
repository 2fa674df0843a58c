# Slicer's and CTK's own macros, from their sources, with the settings that a built Slicer would have written. What only
# a built Slicer has (Qt, VTK, ITK, the launcher, PythonQt) is not there, so what needs it is skipped or empty; scripted
# modules use none of it.

set(Slicer_CMAKE_DIR ${CHMFL_SLICER_SOURCE}/CMake)
set(Slicer_EXTENSIONS_CMAKE_DIR ${CHMFL_SLICER_SOURCE}/Extensions/CMake)
set(CTK_CMAKE_DIR ${CHMFL_CTK_SOURCE}/CMake)
# The folder of this file comes last: FindCTKAppLauncher.cmake, vtkMacroKitPythonWrap.cmake
list(PREPEND CMAKE_MODULE_PATH ${Slicer_CMAKE_DIR} ${Slicer_EXTENSIONS_CMAKE_DIR} ${CTK_CMAKE_DIR})
list(APPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR}/absent)

set(Slicer_PYTHON_MODULE_TEST_TEMPLATES_DIR ${CHMFL_SLICER_SOURCE}/Base/QTCore/Testing/Python)
set(Slicer_LICENSE_FILE ${CHMFL_SLICER_SOURCE}/License.txt)
set(Slicer_README_FILE ${CHMFL_SLICER_SOURCE}/README.md)
set(Slicer_MAIN_PROJECT_APPLICATION_NAME "Slicer")
set(Slicer_WC_REVISION "0000000")
set(Slicer_WC_ROOT "https://github.com/Slicer/Slicer")
set(SlicerExecutionModel_DIR ${CMAKE_CURRENT_LIST_DIR}/absent)
set(Slicer_EXTERNAL_PROJECTS)
set(Slicer_SKIP_EXTERNAL_PROJECTS_USEFILE TRUE)
set(Slicer_SKIP_SET_CMAKE_C_CXX_FLAGS TRUE) # needs ITK
set(Slicer_USE_CTKAPPLAUNCHER OFF)
set(Slicer_ExternalData_OBJECT_STORES ${CMAKE_BINARY_DIR}/ExternalData)
set(Slicer_ExternalData_URL_TEMPLATES "https://github.com/Slicer/SlicerTestingData/releases/download/%(algo)/%(hash)")
set(Slicer_ExternalData_DATA_MANAGEMENT_TARGET SlicerData)

# CTK byte-compiles with the Python that Slicer was built with
set(PYTHONINTERP_FOUND TRUE)
set(PYTHONLIBS_FOUND TRUE)
set(PYTHON_EXECUTABLE ${CHMFL_PYTHON})
set(PYTHON_LIBRARY ${CHMFL_PYTHON})
set(PYTHON_LIBRARIES ${PYTHON_LIBRARY})
include(${CTK_CMAKE_DIR}/ctkFunctionExtractOptimizedLibrary.cmake)

configure_file(${Slicer_CMAKE_DIR}/UseSlicer.cmake.in ${CMAKE_BINARY_DIR}/UseSlicer.cmake @ONLY)
set(Slicer_USE_FILE ${CMAKE_BINARY_DIR}/UseSlicer.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${Slicer_CMAKE_DIR}/SlicerExtensionGenerateConfig.cmake)
set(Slicer_EXTENSION_CPACK ${Slicer_CMAKE_DIR}/SlicerExtensionCPack.cmake)
