// Package rest has no way to a cluster.
package rest

// Config would say where the cluster is.
type Config struct{}
