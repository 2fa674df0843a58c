"""Weights of torchvision's kind with random values, and the file that they come in."""

import hashlib

NARROW = 0.125  # share of the channels


def torchvision_state(depth, seed=0, width=NARROW):
    """A state dict with the names and shapes of torchvision's ResNets, written down from its documentation, not taken
    from our network; random values.
    """
    import torch

    random = torch.Generator().manual_seed(seed)
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}[depth]
    expansion, stages = (4 if depth == 50 else 1), [int(width * channels) for channels in (64, 128, 256, 512)]
    state = {}

    def convolution(name, inputs, outputs, kernel):
        state[f"{name}.weight"] = torch.randn(outputs, inputs, kernel, kernel, generator=random) * 0.05

    def norm(name, channels):
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.ones(channels), torch.zeros(channels)
        state[f"{name}.running_mean"], state[f"{name}.running_var"] = torch.zeros(channels), torch.ones(channels)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    convolution("conv1", 3, stages[0], 7)
    norm("bn1", stages[0])
    inputs = stages[0]
    for level, (count, channels) in enumerate(zip(blocks, stages, strict=True), start=1):
        for number in range(count):
            block, outputs = f"layer{level}.{number}", channels * expansion
            kernels = (1, 3, 1) if expansion == 4 else (3, 3)
            widths = [inputs, *[channels] * (len(kernels) - 1), outputs]
            for k, kernel in enumerate(kernels):
                convolution(f"{block}.conv{k + 1}", widths[k], widths[k + 1], kernel)
                norm(f"{block}.bn{k + 1}", widths[k + 1])
            if number == 0 and (level > 1 or inputs != outputs):
                convolution(f"{block}.downsample.0", inputs, outputs, 1)
                norm(f"{block}.downsample.1", outputs)
            inputs = outputs
    state["fc.weight"], state["fc.bias"] = torch.randn(1000, inputs, generator=random), torch.zeros(1000)
    return state


def written(state, folder, name, digest=True):
    """The file, named as torchvision names its files."""
    import torch

    torch.save(state, folder / "state.pth")
    data = (folder / "state.pth").read_bytes()
    (folder / "state.pth").unlink()
    path = folder / (f"{name}-{hashlib.sha256(data).hexdigest()[:8]}.pth" if digest else f"{name}.pth")
    path.write_bytes(data)
    return path
