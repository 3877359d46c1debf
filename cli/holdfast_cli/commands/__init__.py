"""One module per command; each exports `command`. `holdfast_cli.registry` imports them on use."""
