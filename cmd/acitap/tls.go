package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"
)

// A keyPair is a certificate with its key, read again when a file changes. It
// looks at the files while somebody connects, and not more often than every
// keyPairEvery; a renewal needs no restart.
type keyPair struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex // guards all below
	cert   *tls.Certificate
	stamp  string // of both files, as they were read
	looked time.Time
	wrong  string
}

const keyPairEvery = 5 * time.Second

func loadKeyPair(certFile, keyFile string, log *slog.Logger) (*keyPair, error) {
	k := &keyPair{certFile: certFile, keyFile: keyFile, log: log}
	k.stamp = k.stamps()
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	k.cert, k.looked = &cert, time.Now()
	return k, err
}

// stamps says how the files look: their targets count, where they are links.
func (k *keyPair) stamps() string {
	text := ""
	for _, name := range []string{k.certFile, k.keyFile} {
		if info, err := os.Stat(name); err == nil {
			text += info.ModTime().String() + " " + strconv.FormatInt(info.Size(), 10) + "\n"
		}
	}
	return text
}

func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.looked) < keyPairEvery {
		return k.cert, nil
	}
	k.looked = time.Now()
	stamp := k.stamps()
	if stamp == k.stamp {
		return k.cert, nil
	}
	cert, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil { // one file may be new already and the other not yet
		if k.wrong != err.Error() {
			k.wrong = err.Error()
			k.log.Error("the new TLS certificate cannot be used; the one of before still serves", "file", k.certFile, "err", err)
		}
		return k.cert, nil
	}
	k.log.Info("the TLS certificate was read again", "file", k.certFile, "until", cert.Leaf.NotAfter)
	k.cert, k.stamp, k.wrong = &cert, stamp, ""
	return k.cert, nil
}
