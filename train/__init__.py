"""Programs that train; thin: arguments in, library call, report out."""
