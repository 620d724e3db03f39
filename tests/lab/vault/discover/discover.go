// Package discover stands in for go-discover, which finds the nodes of a raft cluster by asking a cloud.
//
// The tests' servers know their peers by address. Left out are the client libraries of a dozen clouds: a quarter of
// all packages, and the slowest to compile. A configuration with auto_join is told so.
package discover

import (
	"errors"
	"log"
)

// Provider is one cloud.
type Provider interface {
	Addrs(args map[string]string, l *log.Logger) ([]string, error)
	Help() string
}

// Providers has none.
var Providers = map[string]Provider{}

// Config is what auto_join says, as keys and values.
type Config map[string]string

// String is never asked for: Parse refuses before.
func (Config) String() string { return "" }

// ErrLeftOut is the answer to everything.
var ErrLeftOut = errors.New("this server was built without auto_join: name its peers with leader_api_addr")

// Parse refuses every auto_join.
func Parse(string) (Config, error) { return nil, ErrLeftOut }

// Discover finds nothing.
type Discover struct{}

// Option changes nothing.
type Option func(*Discover) error

// WithProviders is there because the server calls it.
func WithProviders(map[string]Provider) Option { return func(*Discover) error { return nil } }

// New is called by every server with raft storage, with auto_join or without.
func New(...Option) (*Discover, error) { return &Discover{}, nil }

// Addrs refuses.
func (*Discover) Addrs(string, *log.Logger) ([]string, error) { return nil, ErrLeftOut }
