"""The other activation formats, behind one base class and one registry."""
