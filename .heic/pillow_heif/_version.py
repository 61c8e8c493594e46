"""Version of pillow_heif."""

__version__ = "1.8.1"
