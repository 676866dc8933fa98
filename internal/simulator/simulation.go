package simulator

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// Options describe a Simulation. The zero value has an empty source, random
// ports, a new API key, and keys that may do everything.
type Options struct {
	Seed        uint64
	Days        int       // report days in the source
	FilesPerDay int       // default 7
	Rows        int       // of a usual report; default 200
	FileSize    int64     // random bytes of this size in place of reports; for load, not for reading
	LastDay     time.Time // last report day; default today

	// Advertise is the host under which others reach the servers, for addresses
	// that are not loopback; URLs name it.
	Advertise string

	OCIAddress string // host:port; default 127.0.0.1:0
	OCIRegion  string // default us-ashburn-1
	KeyFile    string // RSA private key in PEM; default a new one

	S3Address       string // host:port; default 127.0.0.1:0
	S3Bucket        string // default umbrella
	S3Region        string // default us-east-1
	S3Dir           string // keep bytes in files; default in memory
	AccessKeyID     string // default AKIASIMULATED
	SecretAccessKey string // default a fixed one; it opens nothing but this simulator
	Policy          Policy // default AllowAll

	// ControlAddress is host:port of the server that compares and changes (see
	// control.go); empty: none.
	ControlAddress string

	Clock func() time.Time // of both servers; default time.Now
}

// Simulation is both servers running.
type Simulation struct {
	OCI       *OCI
	S3        *S3
	Source    *Source
	OCIFaults *Faults
	S3Faults  *Faults

	OCIURL          string
	S3URL           string
	ControlURL      string // empty without ControlAddress
	Namespace       string
	OCIBucket       string // the tenancy
	OCIRegion       string
	Key             *Key
	S3Bucket        string
	S3Region        string
	AccessKeyID     string
	SecretAccessKey string

	advertise string
	added     atomic.Int64 // reports that the control server made
	servers   []*Server
}

// New starts the servers. Close ends them.
func New(opts Options) (*Simulation, error) {
	opts = opts.withDefaults()
	s, err := build(opts)
	if err != nil {
		return nil, err
	}
	if err := s.start(opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Prepare is New without listening: a Simulation that knows its key and its
// URLs, so that what its users need can be written before it runs.
func Prepare(opts Options) (*Simulation, error) {
	opts = opts.withDefaults()
	s, err := build(opts)
	if err != nil {
		return nil, err
	}
	for _, side := range []struct {
		address string
		url     *string
	}{{opts.OCIAddress, &s.OCIURL}, {opts.S3Address, &s.S3URL}} {
		tcp, err := resolve(side.address, opts.Advertise)
		if err != nil {
			return nil, err
		}
		if tcp.Port == 0 {
			return nil, fmt.Errorf("prepare a simulator on %q: name the port, so that its url is known before it runs", side.address)
		}
		*side.url = urlOf(tcp, opts.Advertise)
	}
	return s, nil
}

func build(opts Options) (*Simulation, error) {
	key, err := opts.key()
	if err != nil {
		return nil, err
	}
	s := &Simulation{
		Source: opts.source(), OCIFaults: NewFaults(opts.Seed), S3Faults: NewFaults(opts.Seed + 1), Key: key,
		AccessKeyID: opts.AccessKeyID, SecretAccessKey: opts.SecretAccessKey, advertise: opts.Advertise,
	}
	s.OCI = NewOCI(s.Source, OCIOptions{
		Bucket: key.Tenancy, Region: opts.OCIRegion, Clock: opts.Clock, Faults: s.OCIFaults,
		Keys: map[string]*rsa.PublicKey{key.ID(): &key.Private.PublicKey},
	})
	s.S3, err = NewS3(S3Options{
		Bucket: opts.S3Bucket, Region: opts.S3Region, Dir: opts.S3Dir, Clock: opts.Clock, Faults: s.S3Faults,
		Keys: map[string]AccessKey{opts.AccessKeyID: {Secret: opts.SecretAccessKey, Policy: opts.Policy}},
	})
	if err != nil {
		return nil, err
	}
	s.Namespace, s.OCIBucket, s.OCIRegion = s.OCI.Namespace, s.OCI.Bucket, s.OCI.Region
	s.S3Bucket, s.S3Region = s.S3.Bucket, s.S3.Region
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.FilesPerDay == 0 {
		o.FilesPerDay = 7
	}
	if o.Rows == 0 {
		o.Rows = 200
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.LastDay.IsZero() {
		o.LastDay = o.Clock()
	}
	if o.AccessKeyID == "" {
		o.AccessKeyID = "AKIASIMULATED"
	}
	if o.SecretAccessKey == "" {
		o.SecretAccessKey = "simulated-secret-access-key"
	}
	return o
}

func (o Options) key() (*Key, error) {
	if o.KeyFile != "" {
		return LoadKey(o.KeyFile)
	}
	return NewKey()
}

// source holds the generated reports. None of them is from the future: what
// Oracle would write later today is here already.
func (o Options) source() *Source {
	source := NewSource()
	source.Clock = o.Clock
	now := o.Clock().UTC()
	for _, object := range Month(o.Seed, o.LastDay, o.Days, o.FilesPerDay, o.Rows) {
		if object.Created.After(now) {
			object.Created, object.Modified = now, now
		}
		if o.FileSize > 0 {
			object.Content = Random(o.Seed^nameSeed(object.Name), o.FileSize)
		}
		source.Add(object)
	}
	return source
}

// start opens the servers. The caller closes what was opened before an error.
func (s *Simulation) start(opts Options) error {
	for _, side := range []struct {
		name, address string
		handler       http.Handler
		url           *string
	}{
		{"oci", opts.OCIAddress, s.OCI, &s.OCIURL},
		{"s3", opts.S3Address, s.S3, &s.S3URL},
		{"control", opts.ControlAddress, s.control(), &s.ControlURL},
	} {
		if side.name == "control" && side.address == "" {
			continue
		}
		server, err := StartOn(side.address, opts.Advertise, side.handler)
		if err != nil {
			return fmt.Errorf("start the %s simulator: %w", side.name, err)
		}
		s.servers = append(s.servers, server)
		*side.url = server.URL()
	}
	return nil
}

// Close ends the servers and all their connections at once.
func (s *Simulation) Close() error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// WriteOCIConfig writes the OCI configuration of this simulation into dir.
func (s *Simulation) WriteOCIConfig(dir string) (path string, err error) {
	return WriteOCIConfig(dir, s.Key, s.OCIRegion)
}

// Environment is the variables that point an agent at this simulation, as
// NAME=value, given the path of its OCI configuration.
func (s *Simulation) Environment(ociConfig string) []string {
	environ := []string{
		"FOCUS_OCI_CONFIG_FILE=" + ociConfig,
		"FOCUS_OCI_ENDPOINT=" + s.OCIURL,
		"FOCUS_OCI_USAGE_ENDPOINT=" + s.OCIURL,
		"FOCUS_OCI_NAMESPACE=" + s.Namespace,
		"FOCUS_OCI_BUCKET=" + s.OCIBucket,
		"FOCUS_OCI_REGION=" + s.OCIRegion,
		"FOCUS_S3_ENDPOINT=" + s.S3URL,
		"FOCUS_S3_BUCKET_PATH=s3://" + s.S3Bucket + "/simulated/0/account",
		"FOCUS_S3_REGION=" + s.S3Region,
		"FOCUS_S3_PATH_STYLE=true",
		"FOCUS_S3_ACCESS_KEY_ID=" + s.AccessKeyID,
		"FOCUS_S3_SECRET_ACCESS_KEY=" + s.SecretAccessKey,
	}
	if s.ControlURL != "" {
		environ = append(environ, "SIMULATOR_CONTROL_URL="+s.ControlURL)
	}
	if s.advertise != "" {
		environ = append(environ, "FOCUS_ADVANCED_ALLOW_INSECURE_ENDPOINT=true")
	}
	return environ
}
