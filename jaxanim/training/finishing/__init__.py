"""Ways to finish small weights, which no paper asks for and which work over any system (`weights.Weights`).

A network of a few million parameters leaves errors that a large one does not: a decoder shows them as a grid, and
the mean of what may be seen as blur. What is here closes some of that gap for the weights in the repository.

weights.py        what is asked of a system: to sample latents, to draw a sheet, to be saved
linear_code.py    an encoder that begins as the best linear code of its patches
pixel_weights.py  how much each latent channel counts in a denoising loss
estimates.py      what trained weights make of clips whose true frames are known
decoder.py        the decoder learns to show the true frames from those
pixels.py         all that makes a frame learns together, through the sampler, on the pixels
texture.py        a loss of local contrast, for the latter
adversarial.py    a loss of a patch discriminator's opinion, for both
discriminator.py  that network
"""
