"""The pretrained networks that Daylight names: where their weights come from and how they are built."""
