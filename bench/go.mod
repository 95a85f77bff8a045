module github.com/unbit/spoolgore/bench

go 1.25.0
