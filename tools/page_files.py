"""Pages that are made from other files: written only where they changed, for quick builds."""


def renew(folder, made, pattern):
    """Write the texts of `made` that differ from a folder's files, and remove other files.

    Parameters
    ----------
    folder : Path
    made : dict of str to str
        Texts by the names of files.
    pattern : str
        Which files of the folder are made so, such as ``"*.rst"``.
    """
    folder.mkdir(exist_ok=True)
    for path in folder.glob(pattern):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
