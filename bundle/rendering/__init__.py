"""Rendered CT: anatomy, then deformation, then Hounsfield units, then the scanner."""
