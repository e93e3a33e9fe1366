"""Answers to validation images over time: classes, all images, the images of a class."""
