"""How a git repository on another machine is reached."""
