"""sitkUtils: SimpleITK images from and to volume nodes, LPS to RAS on the way.

Follows Slicer's Base/Python/sitkUtils.py. Pixels are copied; a node's parent transform is not looked at.
"""

import types

import numpy as np
import SimpleITK as sitk

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # LPS to RAS and back


def PushVolumeToSlicer(sitkimage, targetNode=None, name=None, className="vtkMRMLScalarVolumeNode"):
    """Put a 3D image into a node, or into a new node of a class with a name made unique."""
    import slicer
    import vtk

    if not targetNode:
        unique = slicer.mrmlScene.GetUniqueNameByString(name)
        targetNode = slicer.mrmlScene.AddNewNodeByClass(className, unique)
        targetNode.CreateDefaultDisplayNodes()
    targetNode.SetAndObserveImageData(sitk2vtk(sitkimage))
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(sitkimage.GetDirection(), (3, 3)) * sitkimage.GetSpacing()
    matrix[:3, 3] = sitkimage.GetOrigin()
    ijk_to_ras = vtk.vtkMatrix4x4()
    ijk_to_ras.DeepCopy((_FLIP @ matrix).ravel())
    targetNode.SetIJKToRASMatrix(ijk_to_ras)
    targetNode.Modified()
    return targetNode


def PullVolumeFromSlicer(nodeObjectOrName):
    """Return the image of a volume node, or of the node of a name or ID.

    :raises slicer.util.MRMLNodeNotFoundException: there is no such node.
    """
    import slicer.util
    import vtk

    given = isinstance(nodeObjectOrName, slicer.vtkMRMLNode)
    node = nodeObjectOrName if given else slicer.util.getNode(nodeObjectOrName)
    ijk_to_ras = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijk_to_ras)
    ras = np.array([[ijk_to_ras.GetElement(row, column) for column in range(4)] for row in range(4)])
    lps = _FLIP @ ras
    spacing = node.GetSpacing()
    direction = (lps[:3, :3] / spacing).ravel().tolist()
    return vtk2sitk(node.GetImageData(), origin=lps[:3, 3].tolist(), spacing=spacing, direction=direction)


def vtk2sitk(vtkimg, origin=None, spacing=None, direction=None):
    """Return vtkImageData as a SimpleITK image; geometry that is not given is the image data's own."""
    from vtk.util.numpy_support import vtk_to_numpy

    values = vtk_to_numpy(vtkimg.GetPointData().GetScalars()).reshape(vtkimg.GetDimensions()[::-1])
    image = sitk.GetImageFromArray(values)
    matrix = vtkimg.GetDirectionMatrix()
    own = [matrix.GetElement(row, column) for row in range(3) for column in range(3)]
    image.SetSpacing(vtkimg.GetSpacing() if spacing is None else spacing)
    image.SetDirection(own if direction is None else direction)
    image.SetOrigin(vtkimg.GetOrigin() if origin is None else origin)
    return image


def sitk2vtk(img, deep=1):
    """Return an image's pixels as vtkImageData with origin 0, spacing 1 and no rotation, as volume nodes want them."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    size = [*img.GetSize(), 1][:3]
    scalars = numpy_to_vtk(sitk.GetArrayFromImage(img).ravel(), deep=deep)
    scalars.SetNumberOfComponents(img.GetNumberOfComponentsPerPixel())
    data = vtk.vtkImageData()
    data.SetDimensions(size)
    data.GetPointData().SetScalars(scalars)
    return data


def build() -> types.ModuleType:
    """Make the module that stands in for sitkUtils."""
    module = types.ModuleType("sitkUtils", __doc__)
    for function in (PushVolumeToSlicer, PullVolumeFromSlicer, vtk2sitk, sitk2vtk):
        setattr(module, function.__name__, function)
    return module
