"""The stand: a real cluster with a real gateway, raised from versions.yml."""
