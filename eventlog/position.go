package eventlog

import (
	"context"
	"fmt"
	"slices"

	"github.com/acitap/acitap/apic"
)

// A saving is a position that somebody waits for. Those that are under way
// together are written in one transaction, or in the one of a batch of events:
// whoever gets the writer writes for all.
type saving struct {
	position apic.Position
	forget   bool
	done     chan error // has room for the answer
}

// SavePosition implements [apic.Journal]. When ctx ends while the place is
// being written, it waits for the outcome.
func (l *Log) SavePosition(ctx context.Context, p apic.Position) error {
	if err := l.saveWithOthers(ctx, &saving{position: p}); err != nil {
		return fmt.Errorf("save the position of %q in class %q: %w", p.Consumer, p.Class, err)
	}
	return nil
}

// DeletePosition implements [apic.Journal].
func (l *Log) DeletePosition(ctx context.Context, key apic.PositionKey) error {
	if err := l.saveWithOthers(ctx, &saving{position: apic.Position{PositionKey: key}, forget: true}); err != nil {
		return fmt.Errorf("delete the position of %q in class %q: %w", key.Consumer, key.Class, err)
	}
	return nil
}

func (l *Log) saveWithOthers(ctx context.Context, s *saving) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.done = make(chan error, 1)
	l.queue.Lock()
	l.waiting = append(l.waiting, s)
	l.queue.Unlock()
	select {
	case err := <-s.done:
		return err
	case l.writing <- struct{}{}:
		l.saveAlone(l.takeWaiting())
		l.letGo()
	case <-ctx.Done():
		if l.withdraw(s) {
			return ctx.Err()
		}
	}
	return <-s.done
}

// withdraw takes a saving back unless somebody writes it already.
func (l *Log) withdraw(s *saving) bool {
	l.queue.Lock()
	defer l.queue.Unlock()
	i := slices.Index(l.waiting, s)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	return i >= 0
}

// takeWaiting returns who waits. Its caller holds the writer and answers them.
func (l *Log) takeWaiting() []*saving {
	l.queue.Lock()
	defer l.queue.Unlock()
	list := l.waiting
	l.waiting = nil
	return list
}

// saveAlone writes positions in a transaction of their own and answers those
// who wait. Its caller holds the writer.
func (l *Log) saveAlone(list []*saving) {
	if len(list) == 0 {
		return
	}
	err := ErrClosed
	if l.w != nil {
		err = l.transact(func(w *writer) error { return w.save(list) })
	}
	answer(list, err)
}

func answer(list []*saving, err error) {
	for _, s := range list {
		s.done <- err
	}
}

func (w *writer) save(list []*saving) error {
	for _, s := range list {
		var err error
		if s.forget {
			err = w.forgetPosition(s.position.PositionKey)
		} else {
			err = w.position(s.position)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) position(p apic.Position) error {
	return w.run("INSERT OR REPLACE INTO positions VALUES (?,?,?,?,?)",
		string(p.Class), p.Consumer, int64(p.At), p.Taken, micros(p.UpdatedAt))
}

func (w *writer) forgetPosition(k apic.PositionKey) error {
	return w.run("DELETE FROM positions WHERE class = ? AND consumer = ?", string(k.Class), k.Consumer)
}
