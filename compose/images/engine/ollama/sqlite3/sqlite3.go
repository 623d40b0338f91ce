// Package sqlite3 stands in for the driver of that name. Of Ollama, `ollama launch vscode` alone asks for it, which a
// server's engine does not run and which says then that there is no such driver; SQLite's C is a tenth of all that is
// compiled.
package sqlite3
