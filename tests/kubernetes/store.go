// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// change is a line of what `store` reads. An object is handled as its JSON text.
type change struct {
	Key     string      // "/registry/pods/NAMESPACE/NAME"
	From    string      // the object that it becomes a copy of; empty: the one at Key is changed
	Replace [][2]string // texts, and what takes their place; each must occur
	Delete  bool
}

// storage writes to etcd what kube-apiserver itself would have: texts are replaced in objects that
// it wrote, which are encoded again as it does.
type storage struct {
	client    *clientv3.Client
	encoder   runtime.Encoder
	templates sync.Map // From -> its text
}

// store [--rate N] URL: changes as JSON, a line each, from stdin. Those of one object are done in
// order, others side by side. Prints {"changes": N, "seconds": S}.
func store() {
	flags := flag.NewFlagSet("store", flag.ExitOnError)
	rate := flags.Float64("rate", 0, "changes a second; 0: as fast as it goes")
	_ = flags.Parse(os.Args[1:])
	if flags.NArg() != 1 {
		fail(fmt.Errorf("store: the one argument must be etcd's URL"))
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: flags.Args(), DialTimeout: 5 * time.Second})
	if err != nil {
		fail(fmt.Errorf("store: %w", err))
	}
	s := &storage{client: client, encoder: protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)}
	began := time.Now()
	count, err := s.run(os.Stdin, *rate)
	if err != nil {
		fail(fmt.Errorf("store: %w", err))
	}
	fmt.Printf("{\"changes\": %d, \"seconds\": %.3f}\n", count, time.Since(began).Seconds())
}

func (s *storage) run(input io.Reader, rate float64) (int, error) {
	const workers = 32
	var done sync.WaitGroup
	queues := make([]chan change, workers)
	failed := make(chan error, workers)
	for i := range queues {
		queues[i] = make(chan change, 64)
		done.Go(func() {
			var bad error
			for c := range queues[i] {
				if bad != nil {
					continue // the reader must not wait for one that gave up
				}
				if bad = s.do(c); bad != nil {
					failed <- fmt.Errorf("%s: %w", c.Key, bad)
				}
			}
		})
	}
	seed, began, count := maphash.MakeSeed(), time.Now(), 0
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, 1<<20)
	var bad error
	for bad == nil && len(failed) == 0 && lines.Scan() {
		var c change
		if bad = json.Unmarshal(lines.Bytes(), &c); bad != nil {
			break
		}
		if rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(float64(count) / rate * 1e9))))
		}
		queues[maphash.String(seed, c.Key)%workers] <- c
		count++
	}
	for _, queue := range queues {
		close(queue)
	}
	done.Wait()
	if bad == nil {
		bad = lines.Err()
	}
	if bad == nil && len(failed) > 0 {
		bad = <-failed
	}
	return count, bad
}

func (s *storage) do(c change) error {
	ctx := context.Background()
	if c.Delete {
		answer, err := s.client.Delete(ctx, c.Key)
		if err == nil && answer.Deleted == 0 {
			err = fmt.Errorf("there is no such object")
		}
		return err
	}
	if c.From != "" {
		text, err := s.template(ctx, c.From)
		if err != nil {
			return err
		}
		value, err := s.replaced(text, c.Replace)
		if err != nil {
			return err
		}
		return s.write(ctx, c.Key, 0, value)
	}
	text, revision, err := s.read(ctx, c.Key)
	if err != nil {
		return err
	}
	value, err := s.replaced(text, c.Replace)
	if err != nil {
		return err
	}
	return s.write(ctx, c.Key, revision, value)
}

// write replaces the version that was read; revision 0: there was none.
func (s *storage) write(ctx context.Context, key string, revision int64, value []byte) error {
	answer, err := s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpPut(key, string(value))).Commit()
	if err == nil && !answer.Succeeded {
		err = fmt.Errorf("it was written by somebody else meanwhile")
	}
	return err
}

func (s *storage) template(ctx context.Context, key string) (string, error) {
	if known, found := s.templates.Load(key); found {
		return known.(string), nil
	}
	text, _, err := s.read(ctx, key)
	if err == nil {
		s.templates.Store(key, text)
	}
	return text, err
}

// read returns the object's JSON text and its revision.
func (s *storage) read(ctx context.Context, key string) (string, int64, error) {
	answer, err := s.client.Get(ctx, key)
	if err != nil {
		return "", 0, err
	}
	if len(answer.Kvs) == 0 {
		return "", 0, fmt.Errorf("there is no object %s", key)
	}
	found := answer.Kvs[0]
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(found.Value, nil, nil)
	if err != nil {
		return "", 0, err
	}
	text, err := json.Marshal(object)
	return string(text), found.ModRevision, err
}

func (s *storage) replaced(text string, texts [][2]string) ([]byte, error) {
	var pairs []string
	for _, pair := range texts {
		if !strings.Contains(text, pair[0]) {
			return nil, fmt.Errorf("%q does not occur in %s", pair[0], text)
		}
		pairs = append(pairs, pair[0], pair[1])
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode([]byte(text), nil, nil)
	if err != nil {
		return nil, err
	}
	var value bytes.Buffer
	err = s.encoder.Encode(object, &value)
	return value.Bytes(), err
}
