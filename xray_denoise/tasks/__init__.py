"""One file per subcommand, each the whole story of it."""
