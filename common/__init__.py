"""What the processes share: messages, sockets, settings, the metadata client, pure estimators."""
