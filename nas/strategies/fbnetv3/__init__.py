"""FBNetV3's search: `strategy` is the method, each other module one of its parts."""
