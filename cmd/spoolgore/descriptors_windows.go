package main

// openFiles returns zero: there is no such limit.
func openFiles() uint64 { return 0 }
