// Package simulator stands in for both ends of the product: an OCI Object
// Storage that holds generated FOCUS reports, and an Amazon S3 that keeps a
// history of everything that became visible in it. Demo, tests and benchmarks
// run against it over real HTTP with the real SDKs.
//
// Both servers are strict where the real ones are: signatures, clock skew,
// checksums, part rules, lengths. What they accept, the real services accept;
// what they refuse, they refuse with the real status, code and wording, as far
// as those are known.
//
// Faults are added to either server as rules at run time (see Rule and Fault).
// Reports are made from a seed while they are read, so an object of 6 GB costs
// no memory and two runs with one seed serve the same bytes.
//
// Nothing survives a crash, by intent: a new Simulation starts from its seed
// with an empty S3. Everything listens on loopback, unless told under which host
// others reach it; there is nothing in it but generated data.
package simulator
