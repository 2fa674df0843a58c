# In the place of Slicer/CMake/SlicerExtensionGenerateConfig.cmake, which exports compiled targets: there are none here.
get_property(targets GLOBAL PROPERTY Slicer_TARGETS)
if(targets)
  message(FATAL_ERROR "Unexpected compiled targets: ${targets}")
endif()
