# For C++ command line modules; UseSlicer.cmake asks for it, and a scripted module does without. It is its own use file.
set(SlicerExecutionModel_USE_FILE ${CMAKE_CURRENT_LIST_FILE})
