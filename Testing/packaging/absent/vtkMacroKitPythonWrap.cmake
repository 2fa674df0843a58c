# vtkAddon's macro that wraps C++ for Python; UseSlicer.cmake includes it, a scripted module does not call it.
