package import DqliteLog
internal import Synchronization
internal import TestSupport

/// A disk that keeps what was synced, and of the rest what chance wants.
package final class SimulatedDisk: LogFileSystem {
    package static let sector = 512

    fileprivate struct Node {
        /// What is on the platter.
        var durable: [UInt8]
        /// What a reader sees.
        var current: [UInt8]
        var pending: [Change] = []
    }

    fileprivate enum Change {
        case write(offset: Int, bytes: [UInt8])
        case resize(Int)
    }

    fileprivate enum NameChange {
        case set(String, Int)
        case removed(String)
        case renamed(String, String, Int)
    }

    /// What goes wrong, and when.
    package struct Faults: Sendable {
        /// After how many steps the power fails. nil: never.
        package var stepsToCrash: Int?
        /// How many bytes of files there can be.
        package var capacity = Int.max
        /// How many further syncs of files work. nil: all.
        package var syncsToFailure: Int?
        /// How many further writes work. nil: all.
        package var writesToFailure: Int?
        /// Syncs do nothing, and say that they did: a defect to be found.
        package var ignoresSyncs = false
    }

    fileprivate struct State {
        var random: SeededRandom
        var nodes: [Int: Node] = [:]
        var nextNode = 1
        var names: [String: Int] = [:]
        var durableNames: [String: Int] = [:]
        var pendingNames: [NameChange] = []
        var retired: [String: [UInt8]] = [:]
        var isCrashed = false
        var faults = Faults()
        var syncs = 0
    }

    private let state: Mutex<State>

    package init(seed: UInt64) { self.state = Mutex(State(random: SeededRandom(seed: seed))) }

    package var faults: Faults {
        get { self.state.withLock { $0.faults } }
        set { self.state.withLock { $0.faults = newValue } }
    }
    package var isCrashed: Bool { self.state.withLock { $0.isCrashed } }
    /// Syncs of files so far.
    package var syncs: Int { self.state.withLock { $0.syncs } }
    /// Content of the files that were retired.
    package var retired: [String: [UInt8]] { self.state.withLock { $0.retired } }

    /// The content of all files as a reader sees it.
    package var files: [String: [UInt8]] {
        get { self.state.withLock { state in state.names.mapValues { state.nodes[$0]!.current } } }
        set {
            self.state.withLock { state in
                state.names = [:]
                state.nodes = [:]
                for (name, bytes) in newValue {
                    state.names[name] = state.nextNode
                    state.nodes[state.nextNode] = Node(durable: bytes, current: bytes)
                    state.nextNode += 1
                }
                state.durableNames = state.names
                state.pendingNames = []
            }
        }
    }

    /// The machine starts again. What was not synced is there, or not, sector by sector; after `killed`, where only the process
    /// ended, all of it is there, and still not synced.
    package func restart(killed: Bool = false) {
        self.state.withLock { state in
            state.isCrashed = false
            state.faults.stepsToCrash = nil
            state.faults.syncsToFailure = nil
            state.faults.writesToFailure = nil
            guard !killed else { return }
            for number in state.nodes.keys.sorted() {
                state.settle(number)
                state.nodes[number]!.current = state.nodes[number]!.durable
            }
            for change in state.pendingNames where state.random.once(in: 2) {
                switch change {
                case .set(let name, let node): state.durableNames[name] = node
                case .removed(let name): state.durableNames[name] = nil
                case .renamed(let old, let new, let node):
                    state.durableNames[old] = nil
                    state.durableNames[new] = node
                }
            }
            state.pendingNames = []
            state.names = state.durableNames
        }
    }

    // MARK: Files that are not the log's

    /// What becomes of a step.
    package enum Step: Sendable {
        case done
        /// The power fails while it is under way: what it changes may be changed, and whoever asked is told nothing.
        case interrupted
        /// The power has failed.
        case impossible
    }

    /// A step of somebody else whose files lie on the same disk: the power fails for all at once.
    package func takeStep() -> Step {
        self.state.withLock { state in
            if state.isCrashed { return .impossible }
            guard let steps = state.faults.stepsToCrash else { return .done }
            state.faults.stepsToCrash = steps - 1
            if steps > 0 { return .done }
            state.isCrashed = true
            return state.random.once(in: 2) ? .interrupted : .impossible
        }
    }

    /// Makes a file longer, by zeros, or shorter.
    package func resize(_ name: String, to size: Int) throws(LogFileError) {
        try self.step(.write, name) { (state) throws(LogFileError) in
            guard let node = state.names[name] else {
                throw LogFileError(.write, file: name, code: 2, reason: "missing")
            }
            let surplus = state.nodes[node]!.current.count - size
            if surplus > 0 { state.nodes[node]!.current.removeLast(surplus) }
            if surplus < 0 { state.nodes[node]!.current += [UInt8](repeating: 0, count: -surplus) }
            state.nodes[node]!.pending.append(.resize(size))
        }
    }

    /// The power fails, in the middle of nothing.
    package func failPower() { self.state.withLock { $0.isCrashed = true } }

    // MARK: LogFileSystem

    package func names() throws(LogFileError) -> [String] { self.state.withLock { $0.names.keys.sorted() } }

    package func create(_ name: String, size: Int) throws(LogFileError) -> any LogFile {
        let node = try self.step(.create, name) { (state) throws(LogFileError) in
            let used = state.names.reduce(0) { $0 + ($1.key == name ? 0 : state.nodes[$1.value]!.current.count) }
            let number = state.nextNode
            state.nextNode += 1
            state.names[name] = number
            state.pendingNames.append(.set(name, number))
            guard used + size <= state.faults.capacity else {
                state.nodes[number] = Node(durable: [], current: [])
                throw LogFileError(.allocate, file: name, code: 28, reason: "full", isNoSpace: true)
            }
            // The size becomes durable early or late, the zeros with it.
            let zeros = [UInt8](repeating: 0, count: size)
            state.nodes[number] = Node(durable: state.random.once(in: 2) ? zeros : [], current: zeros)
            return number
        }
        return SimulatedFile(disk: self, node: node, name: name, size: size)
    }

    package func open(_ name: String) throws(LogFileError) -> any LogFile {
        let (node, size) = try self.step(.open, name) { (state) throws(LogFileError) in
            guard let node = state.names[name] else {
                throw LogFileError(.open, file: name, code: 2, reason: "missing")
            }
            return (node, state.nodes[node]!.current.count)
        }
        return SimulatedFile(disk: self, node: node, name: name, size: size)
    }

    package func rename(_ name: String, to newName: String) throws(LogFileError) {
        try self.step(.rename, name) { (state) throws(LogFileError) in
            guard let node = state.names.removeValue(forKey: name) else {
                throw LogFileError(.rename, file: name, code: 2, reason: "missing")
            }
            state.names[newName] = node
            state.pendingNames.append(.renamed(name, newName, node))
        }
    }

    package func remove(_ name: String) throws(LogFileError) {
        try self.step(.remove, name) { (state) throws(LogFileError) in
            guard state.names.removeValue(forKey: name) != nil else {
                throw LogFileError(.remove, file: name, code: 2, reason: "missing")
            }
            state.pendingNames.append(.removed(name))
        }
    }

    package func retire(_ name: String) throws(LogFileError) {
        self.state.withLock { state in state.retired[name] = state.names[name].map { state.nodes[$0]!.current } }
        try self.remove(name)
    }

    package func sync() throws(LogFileError) {
        try self.step(.sync, "the directory") { (state) throws(LogFileError) in
            state.durableNames = state.names
            state.pendingNames = []
        }
    }

    private func step<Result: Sendable>(
        _ operation: LogFileError.Operation, _ file: String,
        _ body: (inout sending State) throws(LogFileError) -> sending Result
    ) throws(LogFileError) -> Result {
        try self.state.withLock { (state) throws(LogFileError) in
            let crash = LogFileError(operation, file: file, code: 0, reason: "the power failed")
            guard !state.isCrashed else { throw crash }
            if let steps = state.faults.stepsToCrash {
                state.faults.stepsToCrash = steps - 1
                if steps <= 0 {
                    state.isCrashed = true
                    // The step may have begun.
                    if state.random.once(in: 2) { _ = try? body(&state) }
                    throw crash
                }
            }
            return try body(&state)
        }
    }

    // MARK: Files

    private struct SimulatedFile: LogFile {
        let disk: SimulatedDisk
        let node: Int
        let name: String
        let size: Int

        func read(into memory: UnsafeMutableRawBufferPointer, at offset: Int) throws(LogFileError) {
            let bytes = self.disk.state.withLock { $0.nodes[self.node]!.current }
            guard offset + memory.count <= bytes.count else {
                throw LogFileError(.read, file: self.name, code: 61, reason: "too short")
            }
            memory.copyBytes(from: bytes[offset..<offset + memory.count])
        }

        func write(_ buffers: [UnsafeRawBufferPointer], at offset: Int) throws(LogFileError) {
            let bytes = buffers.reduce(into: [UInt8]()) { $0 += $1 }
            precondition(offset + bytes.count <= self.size, "nothing is written behind the end")
            try self.disk.step(.write, self.name) { (state) throws(LogFileError) in
                let isBroken = state.faults.writesToFailure == 0
                state.faults.writesToFailure? -= 1
                let count = isBroken ? bytes.count / 2 : bytes.count
                state.nodes[self.node]!.current.replaceSubrange(offset..<offset + count, with: bytes[..<count])
                state.nodes[self.node]!.pending.append(.write(offset: offset, bytes: Array(bytes[..<count])))
                if isBroken { throw LogFileError(.write, file: self.name, code: 5, reason: "broken") }
            }
        }

        func sync() throws(LogFileError) {
            try self.disk.step(.sync, self.name) { (state) throws(LogFileError) in
                state.syncs += 1
                guard !state.faults.ignoresSyncs else { return }
                let isBroken = state.faults.syncsToFailure == 0
                state.faults.syncsToFailure? -= 1
                if isBroken {
                    // As Linux does: readers still see it, the next sync knows nothing of it, some of it is on disk.
                    state.settle(self.node)
                    throw LogFileError(.sync, file: self.name, code: 5, reason: "broken")
                }
                for change in state.nodes[self.node]!.pending {
                    switch change {
                    case .write(let offset, let bytes): state.apply(offset, bytes[...], self.node)
                    case .resize(let size): state.resize(self.node, to: size)
                    }
                }
                state.nodes[self.node]!.pending = []
                let size = state.nodes[self.node]!.current.count
                state.grow(self.node, to: size)
            }
        }
    }
}

extension SimulatedDisk.State {
    /// Puts on the platter, sector by sector, what chance wants of what waits.
    fileprivate mutating func settle(_ node: Int) {
        let share = Int.random(in: 0...4, using: &self.random)
        for change in self.nodes[node]!.pending {
            switch change {
            case .write(let offset, let bytes): self.settle(offset, bytes, share, node)
            case .resize(let size):
                if Int.random(in: 0..<4, using: &self.random) < share { self.resize(node, to: size) }
            }
        }
        self.nodes[node]!.pending = []
    }

    private mutating func settle(_ offset: Int, _ bytes: [UInt8], _ share: Int, _ node: Int) {
        var from = 0
        while from < bytes.count {
            let inSector = SimulatedDisk.sector - (offset + from) % SimulatedDisk.sector
            let to = min(bytes.count, from + inSector)
            if Int.random(in: 0..<4, using: &self.random) < share {
                self.apply(offset + from, bytes[from..<to], node)
            }
            from = to
        }
    }

    fileprivate mutating func resize(_ node: Int, to size: Int) {
        let surplus = self.nodes[node]!.durable.count - size
        if surplus > 0 { self.nodes[node]!.durable.removeLast(surplus) }
        self.grow(node, to: size)
    }

    fileprivate mutating func apply(_ offset: Int, _ bytes: ArraySlice<UInt8>, _ node: Int) {
        self.grow(node, to: offset + bytes.count)
        self.nodes[node]!.durable.replaceSubrange(offset..<offset + bytes.count, with: bytes)
    }

    fileprivate mutating func grow(_ node: Int, to size: Int) {
        let missing = size - self.nodes[node]!.durable.count
        if missing > 0 { self.nodes[node]!.durable += [UInt8](repeating: 0, count: missing) }
    }
}
