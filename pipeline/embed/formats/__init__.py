"""What file formats store beside pixels: colour profiles, wide samples, the layouts of TIFF, and the damage to mend."""
