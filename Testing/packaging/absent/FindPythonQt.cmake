# UseSlicer.cmake looks for PythonQt to compile against it; scripted modules are not compiled.
set(PythonQt_FOUND FALSE)
