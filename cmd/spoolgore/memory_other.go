//go:build !linux

package main

// unmap is for Linux.
func unmap() {}
