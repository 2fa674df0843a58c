# The launcher that starts Slicer with an extension's build folder; it comes with a built Slicer.
set(CTKAppLauncher_FOUND TRUE)
function(ctkAppLauncherConfigureForExecutable)
endfunction()
