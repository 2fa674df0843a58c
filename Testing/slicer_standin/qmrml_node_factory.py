"""How Slicer's node selectors make a node: Libs/MRML/Widgets/qMRMLNodeFactory.cxx."""


class NodeFactory:
    """Makes nodes with a unique name and the attributes of the selector; Python code never sees it in Slicer."""

    def __init__(self):
        self._baseNames = {}
        self._attributes = {}

    def addAttribute(self, name: str, value: str) -> None:
        self._attributes[name] = value

    def removeAttribute(self, name: str) -> None:
        self._attributes.pop(name, None)

    def setBaseName(self, class_name: str, base_name: str) -> None:
        self._baseNames[class_name] = base_name

    def baseName(self, class_name: str) -> str:
        if class_name not in self._baseNames:
            print(f"qMRMLNodeFactory::baseName failed: class name {class_name} not found")
        return self._baseNames.get(class_name, "")

    def createNode(self, scene, class_name: str):
        """Add a node of that class to the scene; None without a scene or for a class that the scene cannot make."""
        if scene is None or not class_name:
            return None
        node = scene.CreateNodeByClass(class_name)
        if node is None:
            return None
        node.UnRegister(None)
        base_name = self._baseNames.get(class_name, "")
        if not base_name and not node.GetName():
            base_name = node.GetDefaultNodeNamePrefix()
        if base_name:
            node.SetName(scene.GetUniqueNameByString(base_name))
        # before the node is in the scene: the selector that wants the attribute would not show it else
        for name, value in self._attributes.items():
            node.SetAttribute(name, value)
        return scene.AddNode(node)
