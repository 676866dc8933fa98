package simulator

import (
	"crypto/rsa"
	"errors"
	"fmt"
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

	OCIAddress string // loopback host:port; default 127.0.0.1:0
	OCIRegion  string // default us-ashburn-1
	KeyFile    string // RSA private key in PEM; default a new one

	S3Address       string // loopback host:port; default 127.0.0.1:0
	S3Bucket        string // default umbrella
	S3Region        string // default us-east-1
	S3Dir           string // keep bytes in files; default in memory
	AccessKeyID     string // default AKIASIMULATED
	SecretAccessKey string // default a fixed one; it opens nothing but this simulator
	Policy          Policy // default AllowAll

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
	Namespace       string
	OCIBucket       string // the tenancy
	OCIRegion       string
	Key             *Key
	S3Bucket        string
	S3Region        string
	AccessKeyID     string
	SecretAccessKey string

	servers []*Server
}

// New starts both servers. Close ends them.
func New(opts Options) (*Simulation, error) {
	opts = opts.withDefaults()
	key, err := opts.key()
	if err != nil {
		return nil, err
	}
	s := &Simulation{
		Source: opts.source(), OCIFaults: NewFaults(opts.Seed), S3Faults: NewFaults(opts.Seed + 1), Key: key,
		AccessKeyID: opts.AccessKeyID, SecretAccessKey: opts.SecretAccessKey,
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
	if err := s.start(opts); err != nil {
		return nil, err
	}
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

func (s *Simulation) start(opts Options) error {
	oci, err := StartOn(opts.OCIAddress, s.OCI)
	if err != nil {
		return fmt.Errorf("start the oci simulator: %w", err)
	}
	s3, err := StartOn(opts.S3Address, s.S3)
	if err != nil {
		oci.Close()
		return fmt.Errorf("start the s3 simulator: %w", err)
	}
	s.servers = []*Server{oci, s3}
	s.OCIURL, s.S3URL = oci.URL(), s3.URL()
	return nil
}

// Close ends both servers and all their connections at once.
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
	return []string{
		"FOCUS_OCI_CONFIG_FILE=" + ociConfig,
		"FOCUS_OCI_ENDPOINT=" + s.OCIURL,
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
}
