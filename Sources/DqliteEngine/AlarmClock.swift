internal import DqliteRaft

/// A moment, on a clock that nobody sets.
typealias Instant = MonotonicInstant

/// Who wants to be told when a moment has come.
protocol AlarmTarget: AnyObject, Sendable {
    /// Called on the clock's thread, at `now`, not before the moment that was asked for. Must not take long.
    func alarm(now: Instant)
}

/// One thread that waits for the next of many moments.
///
/// There is no cancelling: a target that no longer cares ignores the call. It should ask for one moment at a time, the
/// earliest that it waits for.
///
/// @unchecked: everything that changes is touched under `condition` only.
final class AlarmClock: @unchecked Sendable {
    private struct Entry {
        var instant: Instant
        weak var target: (any AlarmTarget)?
    }

    /// In place of the clock and of the thread: what time it is; see ``ring()``.
    private let time: (@Sendable () -> Instant)?
    private let condition = Condition()
    /// A binary heap, the earliest first.
    private var heap: [Entry] = []
    private var errands: [@Sendable () -> Void] = []
    private var isStopping = false
    private var hasEnded = false

    init(time: (@Sendable () -> Instant)? = nil) { self.time = time }

    /// What time it is.
    var now: Instant { self.time?() ?? .now }

    /// Starts the thread.
    ///
    /// - Returns: Whether the system had one to give.
    func start() -> Bool {
        if self.time != nil { return true }
        return startThread { self.work() }
    }

    /// Calls that are still to come.
    var count: Int { self.condition.withLock { self.heap.count } }

    func stop() {
        self.condition.withLock {
            self.isStopping = true
            self.condition.broadcast()
        }
    }

    /// Calls `target` at `instant`, or soon after.
    func schedule(_ target: any AlarmTarget, at instant: Instant) {
        self.condition.withLock {
            let isFirst = self.heap.first.map { instant < $0.instant } ?? true
            self.insert(Entry(instant: instant, target: target))
            if isFirst { self.condition.signal() }
        }
    }

    /// Does something short on the clock's thread, when no other can be had. Also when that has ended: who asks waits for it.
    func perform(_ errand: @escaping @Sendable () -> Void) {
        let isTaken = self.condition.withLock {
            guard !self.hasEnded else { return false }
            self.errands.append(errand)
            self.condition.signal()
            return true
        }
        if !isTaken, !startThread(errand) { errand() }
    }

    /// When the next call is due; the past if something short is to be done. For a clock without a thread.
    var next: Instant? {
        self.condition.withLock { self.errands.isEmpty ? self.heap.first?.instant : self.now }
    }

    /// Does what is due, on a clock without a thread.
    func ring() {
        while true {
            let now = self.now
            let (errands, target) = self.condition.withLock { () -> ([@Sendable () -> Void], (any AlarmTarget)?) in
                defer { self.errands = [] }
                var target: (any AlarmTarget)?
                while target == nil, let first = self.heap.first, first.instant <= now {
                    target = self.removeFirst().target
                }
                return (self.errands, target)
            }
            if errands.isEmpty, target == nil { return }
            for errand in errands { errand() }
            target?.alarm(now: now)
        }
    }

    private func work() {
        self.condition.lock()
        while true {
            if !self.errands.isEmpty {
                let errands = self.errands
                self.errands = []
                self.condition.unlock()
                for errand in errands { errand() }
                self.condition.lock()
                continue
            }
            if self.isStopping { break }
            guard let first = self.heap.first else {
                self.condition.wait()
                continue
            }
            let now = Instant.now
            if first.instant > now {
                _ = self.condition.wait(atMost: first.instant - now)
                continue
            }
            let target = self.removeFirst().target
            self.condition.unlock()
            target?.alarm(now: now)
            self.condition.lock()
        }
        self.heap = []
        self.hasEnded = true
        self.condition.unlock()
    }

    private func insert(_ entry: Entry) {
        self.heap.append(entry)
        var child = self.heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard self.heap[child].instant < self.heap[parent].instant else { return }
            self.heap.swapAt(child, parent)
            child = parent
        }
    }

    private func removeFirst() -> Entry {
        self.heap.swapAt(0, self.heap.count - 1)
        let first = self.heap.removeLast()
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < self.heap.count else { return first }
            if child + 1 < self.heap.count, self.heap[child + 1].instant < self.heap[child].instant { child += 1 }
            guard self.heap[child].instant < self.heap[parent].instant else { return first }
            self.heap.swapAt(child, parent)
            parent = child
        }
    }
}
