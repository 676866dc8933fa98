// Package scheme knows no API: what is deprecated, the vendored schemas tell.
package scheme

import "k8s.io/apimachinery/pkg/runtime"

// Scheme is where Helm registers what it knows by itself.
var Scheme = runtime.NewScheme()

// AddToScheme adds nothing.
func AddToScheme(*runtime.Scheme) error { return nil }
