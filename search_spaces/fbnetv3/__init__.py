"""The space of FBNetV3: stages of inverted residual blocks, chosen stage by stage."""
