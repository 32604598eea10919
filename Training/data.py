"""Folders of pictures."""
import glob

import numpy as np
from PIL import Image


def list_pictures(folder):
    return sorted(f for e in ('jpg', 'png') for f in glob.glob(f'{folder}/*.{e}'))


def read_picture(path):
    """uint8 [H, W, 3]"""
    return np.array(Image.open(path).convert('RGB'))
