"""Files as people have them: pictures and videos read and written, whole files or none, locks."""
