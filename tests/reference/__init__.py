"""Literal implementations of the six published variants, to test the engine against.

Each module is one published program, written again from its description: its own losses,
its own loop, a plain VGG19 and ``torch.optim``. Nothing here uses the package under test;
even the weights come in as an argument, a dict with torchvision's keys
(``features.0.weight``, …) for RGB in [0, 1] normalised with the ImageNet mean and deviation.

Every module has

``run(content, style, weights, evaluations, dtype)``
    the program itself, from the content image: a :class:`~.common.Run`;
``loss_and_gradient(image, content, style, weights, dtype)``
    the losses at an RGB image and their total's gradient with respect to it.

Images are (H, W, 3) float64 arrays in [0, 1], RGB, all of one size.
"""
