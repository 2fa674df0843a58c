"""SampleData: sample data sets of modules, downloaded for real (urllib) into the scene's cache and loaded.

Follows Slicer's Modules/Scripted/SampleData/SampleData.py. What surprises there surprises here: ``downloadSamples``
never calls a source's customDownloader (only the button of the SampleData module does: ``press``); a source needs
``uris`` and ``fileNames`` even then; a file with a wrong checksum is removed and then fails to load, attempt after
attempt; a failed download leaves an empty list, with the reason in the log only. Not covered: the module's widget,
Slicer's own data sets, the rewriting of web addresses.
"""

import logging
import os
import types
import urllib.parse
import urllib.request
import uuid

import vtk

from .i18n import tr as _
from .sample_data_source import FIELDS, SampleDataSource


def _on_modules(name: str) -> dict:
    """A dictionary that hangs on slicer.modules, made at first use."""
    import slicer

    if not hasattr(slicer.modules, name):
        setattr(slicer.modules, name, {})
    return getattr(slicer.modules, name)


class SampleDataLogic:
    """Registration, download and loading; ``logMessage(message, logLevel=...)`` may be given instead of logging."""

    def __init__(self, logMessage=None):
        if logMessage:
            self.logMessage = logMessage
        self.builtInCategoryName = "General"
        self.developmentCategoryName = "Development"
        self.registerCustomSampleDataCategory(self.builtInCategoryName, title=_("General"))
        self.registerCustomSampleDataCategory(self.developmentCategoryName, title=_("Development"))
        _on_modules("sampleDataSources").setdefault(self.builtInCategoryName, [])
        self.downloadPercent = 0

    @staticmethod
    def registerCustomSampleDataCategory(category, title):
        """Give a category the title that users read (in Slicer since 5.12)."""
        _on_modules("sampleDataSourceCategories").setdefault(category, {})["title"] = title

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFiles=None,
        loadFileProperties={},  # noqa: B006  Slicer's signature
        checksums=None,
        loadFileType=None,
    ):
        """Add a source to a category; one that is there already is passed over."""
        sources = _on_modules("sampleDataSources").setdefault(category, [])
        source = SampleDataSource(
            sampleName=sampleName,
            uris=uris,
            fileNames=fileNames,
            nodeNames=nodeNames,
            thumbnailFileName=thumbnailFileName,
            loadFileTypes=loadFileTypes,
            loadFiles=loadFiles,
            loadFileProperties=loadFileProperties,
            checksums=checksums,
            customDownloader=customDownloader,
            loadFileType=loadFileType,
        )
        if not SampleDataLogic.isSampleDataSourceRegistered(category, source):
            sources.append(source)

    @staticmethod
    def categoryTitle(category):
        return _on_modules("sampleDataSourceCategories").get(category, {}).get("title", category)

    @staticmethod
    def sampleDataSourcesByCategory(category=None):
        sources = _on_modules("sampleDataSources")
        return sources if category is None else sources.get(category, [])

    @staticmethod
    def isSampleDataSourceRegistered(category, sampleDataSource):
        if not isinstance(sampleDataSource, SampleDataSource):
            raise TypeError(f"unsupported sampleDataSource type '{type(sampleDataSource)}'")
        return sampleDataSource in _on_modules("sampleDataSources").get(category, [])

    def sourceForSampleName(self, sampleName):
        """The first source of a name, whatever its category, or None."""
        everything = (source for sources in _on_modules("sampleDataSources").values() for source in sources)
        return next((source for source in everything if source.sampleName == sampleName), None)

    def categoryForSource(self, a_source):
        found = (name for name, sources in _on_modules("sampleDataSources").items() if a_source in sources)
        return next(found, None)

    def downloadSample(self, sampleName):
        """The first loaded node.

        :raises IndexError: nothing was loaded.
        """
        return self.downloadSamples(sampleName)[0]

    def downloadSamples(self, sampleName):
        """The loaded nodes; none for an unknown name. A customDownloader is not called."""
        source = self.sourceForSampleName(sampleName)
        return self.downloadFromSource(source) if source else []

    def downloadFromURL(
        self,
        uris=None,
        fileNames=None,
        nodeNames=None,
        checksums=None,
        loadFiles=None,
        customDownloader=None,
        loadFileTypes=None,
        loadFileProperties={},  # noqa: B006  Slicer's signature
        forceDownload=False,
    ):
        source = SampleDataSource(
            uris=uris,
            fileNames=fileNames,
            nodeNames=nodeNames,
            loadFiles=loadFiles,
            loadFileTypes=loadFileTypes,
            loadFileProperties=loadFileProperties,
            checksums=checksums,
            customDownloader=customDownloader,
        )
        return self.downloadFromSource(source, forceDownload=forceDownload)

    def downloadFromSource(self, source, maximumAttemptsCount=3, forceDownload=False):
        """Download and load each file of a source.

        :return: list of loaded nodes, of folders of unpacked archives and of files that are not loaded; where there are
            none of these, the downloaded files. What failed is missing in it.
        """
        results, files = [], []
        name_them = all(name is None for name in source.nodeNames)
        columns = [getattr(source, name) for name in FIELDS]
        for uri, given_file_name, given_node_name, checksum, load, kind in zip(*columns, strict=False):
            file_name, node_name = _names(uri, given_file_name, given_node_name, load, name_them)
            for attempt in range(maximumAttemptsCount):
                trial = f"(attempt {attempt + 1} of {maximumAttemptsCount})"
                try:
                    path = self.downloadFileIntoCache(uri, file_name, checksum, forceDownload=forceDownload)
                except ValueError:
                    self.logMessage(f"Download failed {trial}...", logging.ERROR)
                    continue
                done, result = self._load(path, node_name, load, kind, source.loadFileProperties)
                if done:
                    (files if result is None else results).append(path if result is None else result)
                    break
                if os.path.exists(path):
                    os.remove(path)
                self.logMessage(f"Load failed {trial}...", logging.ERROR)
        return results or files

    def _load(self, path, node_name, load, kind, properties):
        """Return (whether a downloaded file is dealt with, what of it goes into the results or None)."""
        if kind is None and node_name is None:
            kind = {".mrml": "SceneFile", ".mrb": "SceneFile", ".zip": "ZipFile"}.get(os.path.splitext(path.lower())[1])
        if kind == "ZipFile":
            return (True, path) if load is False else self._unpack(path)
        if kind == "SceneFile":
            return not load or self.loadScene(path, dict(properties)), path
        if not node_name:
            return True, None
        if load is False:
            return True, path
        node = self.loadNode(path, node_name, kind, dict(properties))
        return node is not None, node

    @staticmethod
    def _unpack(path):
        import slicer.util

        folder = os.path.splitext(path)[0]
        os.makedirs(folder, exist_ok=True)
        return bool(slicer.util.extractArchive(path, folder)), folder

    def downloadFileIntoCache(self, uri, name, checksum=None, forceDownload=False):
        import slicer

        folder = slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError:
            self.logMessage(_("Failed to create cache folder {path}").format(path=folder), logging.ERROR)
        return self.downloadFile(uri, folder, name, checksum, forceDownload=forceDownload)

    def downloadSourceIntoCache(self, source):
        files = zip(source.uris, source.fileNames, source.checksums, strict=False)
        return [self.downloadFileIntoCache(*file) for file in files]

    def downloadFile(self, uri, destFolderPath, name, checksum=None, forceDownload=False):
        """Download a file unless it is there with the right checksum (without a checksum: unless it is there).

        :return: its path. After a wrong checksum there is no file at that path.
        :raises ValueError: it cannot be downloaded, or the checksum is not written as "<algo>:<digest>".
        """
        import slicer.util

        self.downloadPercent = 0
        path = f"{destFolderPath}/{name}"
        algorithm, digest = slicer.util.extractAlgoAndDigest(checksum)
        there = not forceDownload and os.path.exists(path) and os.stat(path).st_size > 0
        if not there:
            self._retrieve(uri, path, name)
        if algorithm is None or slicer.util.computeChecksum(algorithm, path) == digest:
            self.downloadPercent = 100
            return path
        self.logMessage(_("Checksum verification failed: {path}").format(path=path))
        os.remove(path)
        return self.downloadFile(uri, destFolderPath, name, checksum) if there else path

    def _retrieve(self, uri, path, name) -> None:
        self.logMessage(_("Requesting download {name} from {uri} ...").format(name=name, uri=uri))
        try:
            urllib.request.urlretrieve(uri, path, self.reportHook)
        except OSError as error:
            self.logMessage(_("Download failed: {errorMessage}").format(errorMessage=error), logging.ERROR)
            raise ValueError(_("Failed to download {uri} to {filePath}").format(uri=uri, filePath=path)) from error

    def reportHook(self, blocksSoFar, blockSize, totalSize):
        """urllib's progress. A server that says size 0 makes this divide by it, as in Slicer."""
        percent = min(int(100.0 * blocksSoFar * blockSize / totalSize), 100)
        if percent == 100 or percent - self.downloadPercent >= 10:
            self.logMessage(f"<i>Downloaded {percent}% of {totalSize} bytes...</i>")
            self.downloadPercent = percent

    def loadScene(self, uri, fileProperties={}):  # noqa: B006  Slicer's signature
        return self.loadNode(uri, None, "SceneFile", fileProperties) is not None

    def loadNode(self, uri, name, fileType=None, fileProperties={}):  # noqa: B006  Slicer's signature
        """The first loaded node, without a storage node as its file is only cached; None if loading failed."""
        import slicer

        fileProperties["fileName"] = uri
        if name:
            fileProperties["name"] = name
        manager = slicer.app.coreIOManager()
        loaded = vtk.vtkCollection()
        success = manager.loadNodes(fileType or manager.fileType(uri), fileProperties, loaded)
        nodes = [loaded.GetItemAsObject(index) for index in range(loaded.GetNumberOfItems())]
        if not success and not nodes:
            self.logMessage(_("Load failed!"), logging.ERROR)
            return None
        for node in nodes:
            if node.IsA("vtkMRMLStorableNode") and node.GetStorageNode():
                slicer.mrmlScene.RemoveNode(node.GetStorageNode())
                node.SetAndObserveStorageNodeID(None)
        return nodes[0] if nodes else slicer.mrmlScene

    def logMessage(self, message, logLevel=logging.DEBUG):
        logging.log(logLevel, message)


def _names(uri, file_name, node_name, load, name_them: bool):
    """Names that were left out: the node's after the file, the file's made unique."""
    if node_name is not None and file_name is not None:
        return file_name, node_name
    whole = urllib.parse.urlparse(uri).path if file_name is None else file_name
    stem, ending = os.path.splitext(os.path.basename(whole))
    if node_name is None and load is not False and name_them:
        node_name = stem
    return file_name or f"{node_name or stem}-{uuid.uuid4().hex}{ending}", node_name


def downloadFromURL(
    uris=None,
    fileNames=None,
    nodeNames=None,
    checksums=None,
    loadFiles=None,
    customDownloader=None,
    loadFileTypes=None,
    loadFileProperties={},  # noqa: B006  Slicer's signature
):
    """SampleDataLogic.downloadFromURL of a new logic."""
    return SampleDataLogic().downloadFromURL(
        uris, fileNames, nodeNames, checksums, loadFiles, customDownloader, loadFileTypes, loadFileProperties
    )


def downloadSample(sampleName):
    return SampleDataLogic().downloadSamples(sampleName)[0]


def downloadSamples(sampleName):
    return SampleDataLogic().downloadSamples(sampleName)


def press(sampleName):
    """Do what the button of a sample in the SampleData module does (SampleDataWidget); for tests only."""
    logic = SampleDataLogic()
    source = logic.sourceForSampleName(sampleName)
    return source.customDownloader(source) if source.customDownloader else logic.downloadFromSource(source)


def build() -> types.ModuleType:
    """Make the module that stands in for SampleData; slicer.modules.sampleDataSources is there from then on."""
    _on_modules("sampleDataSources")
    module = types.ModuleType("SampleData", __doc__)
    for public in (SampleDataLogic, SampleDataSource, downloadFromURL, downloadSample, downloadSamples):
        setattr(module, public.__name__, public)
    return module
