"""The group `bake_off`: backbones and precisions compared on the user's own labelled images."""
