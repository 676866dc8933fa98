package main

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/oracle/oci-go-sdk/v65/common"

	"oracle-focus-agent/internal/simulator"
)

// A pipe reads from the source and writes to the destination, signed as both demand, and
// does nothing else: no hash, no queue, no second try. Nothing that copies can be faster
// by much, and what it costs is what the two signatures and the kernel cost.
type pipe struct {
	*sides
	client *http.Client
	oci    common.HTTPRequestSigner
	s3     *v4.Signer
	aws    aws.Credentials
}

// atOnce is how many files everybody copies at the same time, but rclone at its defaults.
const atOnce = 16

// runPipe copies everything, between sides given as JSON.
func runPipe(ctx context.Context, text string) error {
	var reach sides
	if err := json.Unmarshal([]byte(text), &reach); err != nil {
		return fmt.Errorf("read where to copy: %w", err)
	}
	key, err := simulator.LoadKey(reach.KeyFile)
	if err != nil {
		return err
	}
	p := &pipe{
		sides: &reach, oci: common.DefaultRequestSigner(keyProvider{key}), s3: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
		aws: aws.Credentials{AccessKeyID: reach.AccessKeyID, SecretAccessKey: reach.SecretKey},
		client: &http.Client{Transport: &http.Transport{
			DisableCompression: true, MaxIdleConnsPerHost: atOnce, ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10,
		}},
	}
	defer p.client.CloseIdleConnections()
	return p.run(ctx)
}

// keyProvider holds an API key; the SDK's own reads its file for each request.
type keyProvider struct{ *simulator.Key }

func (k keyProvider) PrivateRSAKey() (*rsa.PrivateKey, error) { return k.Private, nil }
func (k keyProvider) KeyID() (string, error)                  { return k.ID(), nil }

func (p *pipe) run(ctx context.Context) error {
	names := make(chan string, 1000)
	failures := make(chan error, atOnce+1)
	var work sync.WaitGroup
	for range atOnce {
		work.Go(func() {
			for name := range names {
				if err := p.copy(ctx, name); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	if err := p.list(ctx, names, failures); err != nil {
		failures <- err
	}
	close(names)
	work.Wait()
	close(failures)
	var all error
	for err := range failures {
		all = errors.Join(all, err)
	}
	return all
}

// list sends all names, until one of those who copy them fails.
func (p *pipe) list(ctx context.Context, names chan<- string, failures chan error) error {
	start := ""
	for {
		var page struct {
			Objects []struct{ Name string }
			Next    string `json:"nextStartWith"`
		}
		resp, err := p.get(ctx, "?"+url.Values{"prefix": {simulator.Prefix}, "start": {start}}.Encode())
		if err != nil {
			return err
		}
		err = json.NewDecoder(resp.Body).Decode(&page)
		resp.Body.Close()
		if err != nil {
			return err
		}
		for _, o := range page.Objects {
			select {
			case names <- o.Name:
			case err := <-failures:
				return err
			}
		}
		if start = page.Next; start == "" {
			return nil
		}
	}
}

func (p *pipe) get(ctx context.Context, rest string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/n/%s/b/%s/o%s", p.OCIURL, p.Namespace, p.OCIBucket, rest), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if err := p.oci.Sign(req); err != nil {
		return nil, err
	}
	return p.do(req)
}

func (p *pipe) do(req *http.Request) (*http.Response, error) {
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return nil, fmt.Errorf("%s %s: %s: %s", req.Method, req.URL, resp.Status, text)
	}
	return resp, nil
}

func (p *pipe) copy(ctx context.Context, name string) error {
	from, err := p.get(ctx, "/"+(&url.URL{Path: name}).EscapedPath())
	if err != nil {
		return err
	}
	defer from.Body.Close()
	target := strings.Join([]string{p.S3URL, p.S3Bucket, destination, path.Base(name)}, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target, from.Body)
	if err != nil {
		return err
	}
	req.ContentLength = from.ContentLength
	const payload = "UNSIGNED-PAYLOAD"
	req.Header.Set("X-Amz-Content-Sha256", payload)
	if err := p.s3.SignHTTP(ctx, p.aws, req, payload, "s3", p.S3Region, time.Now()); err != nil {
		return err
	}
	to, err := p.do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, to.Body)
	return errors.Join(err, to.Body.Close())
}
