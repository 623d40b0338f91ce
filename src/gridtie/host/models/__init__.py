"""The models of a station: got, checked, shown to the engine, removed."""
