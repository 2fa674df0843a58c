"""The network of the paper, what goes into it, and the engines that run it."""
