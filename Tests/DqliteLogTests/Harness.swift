import DqliteRaft
import LogSimulation
import Synchronization

@testable import DqliteLog

/// What a log should hold.
struct Model: Equatable {
    var previousIndex = LogIndex.zero
    var previousTerm = Term.zero
    var entries: [Entry] = []
    var checkpoints: [String: CheckpointMarks] = [:]

    var lastIndex: LogIndex { self.entries.last?.index ?? self.previousIndex }
    var lastTerm: Term { self.entries.last?.term ?? self.previousTerm }

    func term(of index: LogIndex) -> Term? {
        if index == self.previousIndex { return self.previousTerm }
        guard index > self.previousIndex, index <= self.lastIndex else { return nil }
        return self.entries[self.previousIndex.distance(to: index) - 1].term
    }

    mutating func apply(_ effect: Record.Effect) {
        switch effect {
        case .entries(let entries): self.entries += entries
        case .checkpoint(let name, let marks): self.checkpoints[name] = marks == CheckpointMarks() ? nil : marks
        case .cut(let index, let term):
            if self.term(of: index) == term {
                self.entries.removeLast(index.distance(to: self.lastIndex))
            } else {
                self = Model(previousIndex: index, previousTerm: term, checkpoints: self.checkpoints)
            }
        case .mark, .configuration: break
        }
    }

    /// Forgets entries that a log may have dropped.
    mutating func dropHead(to previousIndex: LogIndex) {
        guard previousIndex > self.previousIndex else { return }
        self.previousTerm = self.term(of: previousIndex)!
        self.entries.removeFirst(self.previousIndex.distance(to: previousIndex))
        self.previousIndex = previousIndex
    }
}

/// Something that must not be.
struct Violation: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A log without its thread, on a simulated disk, beside a model of it.
struct Harness {
    let disk: SimulatedDisk
    let configuration: LogConfiguration
    var machine: LogMachine
    var worker: LogWorker
    var termFiles: TermFiles
    var files: [UInt64: any LogFile]
    var tornBytes = 0

    /// The state after each record that was accepted; the first one is known to be durable.
    private(set) var states = [Model()]
    /// How many of the records after the first state were acknowledged.
    private let acknowledged = Acknowledged()
    private var savedTerms = [HardState()]
    private(set) var crashes = 0
    /// Acknowledges when a write begins: a defect to be found.
    var acknowledgesEarly = false

    final class Acknowledged: Sendable {
        let count = Atomic(0)
    }

    static func small(_ segmentSize: Int = 8192) -> LogConfiguration {
        var configuration = LogConfiguration()
        configuration.segmentSize = segmentSize
        configuration.recentEntriesSize = 2048
        configuration.maximumQueuedSize = 16384
        return configuration
    }

    init(disk: SimulatedDisk, configuration: LogConfiguration = Self.small()) throws(LogError) {
        self.disk = disk
        self.configuration = configuration
        let found = try LogRecovery.open(fileSystem: disk, configuration: configuration, newLogID: 77)
        (self.machine, self.worker, self.termFiles, self.files) =
            (found.machine, found.worker, found.termFiles, found.files)
        self.tornBytes = found.tornBytes
    }

    var model: Model { self.states[self.states.count - 1] }

    // MARK: Doing

    /// Performs the next action.
    ///
    /// - Returns: Whether there was one.
    @discardableResult
    mutating func step() -> Bool {
        guard let action = self.machine.nextAction() else { return false }
        if self.acknowledgesEarly, case .write = action {
            self.acknowledged.count.store(self.states.count - 1, ordering: .relaxed)
        }
        let result = self.worker.result(of: action)
        for outcome in self.machine.finished(result) { outcome.completion(outcome.result) }
        if case .begin(let segment, _) = action { self.files[segment.number] = self.worker.file }
        return true
    }

    mutating func run() { while self.step() {} }

    /// Offers a record until it is accepted or refused.
    mutating func offer(_ effect: Record.Effect) throws(LogError) {
        let record = Record(effect)
        let number = self.states.count
        let acknowledged = self.acknowledged
        while !(try self.machine.accept(
            record,
            completion: { result in
                guard case .success = result else { return }
                acknowledged.count.store(number, ordering: .relaxed)
            }))
        {
            guard self.step() else { preconditionFailure("the log waits for nothing") }
        }
        var model = self.model
        model.apply(effect)
        self.states.append(model)
    }

    mutating func append(_ sizes: [Int], fill: UInt8 = 1) throws(LogError) {
        var index = self.machine.map.lastIndex
        var entries: [Entry] = []
        for size in sizes {
            index = index.next
            let data = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ Int(index.rawValue)) | fill }
            entries.append(Entry(index: index, term: self.termFiles.state.term, data: data))
        }
        try self.offer(.entries(entries))
    }

    mutating func save(_ state: HardState) {
        self.savedTerms.append(state)
        guard (try? self.termFiles.save(state)) != nil else { return }
        self.savedTerms = [state]
    }

    // MARK: Checking

    /// Starts again after a crash, and checks what is found.
    ///
    /// - Parameter stepsToCrash: How far each attempt gets.
    mutating func restart(killed: Bool, attempts: [Int] = []) throws {
        self.crashes += 1
        self.disk.restart(killed: killed)
        var attempts = attempts
        while true {
            self.disk.faults.stepsToCrash = attempts.popLast()
            do throws(LogError) {
                let found = try LogRecovery.open(
                    fileSystem: self.disk, configuration: self.configuration, newLogID: 77)
                self.disk.faults.stepsToCrash = nil
                (self.machine, self.worker, self.termFiles, self.files, self.tornBytes) =
                    (found.machine, found.worker, found.termFiles, found.files, found.tornBytes)
                break
            } catch {
                if self.disk.isCrashed {
                    self.crashes += 1
                    self.disk.restart(killed: killed)
                } else if case .noSpace = error {
                    self.disk.faults.capacity = .max
                } else {
                    throw Violation("recovery failed: \(error)")
                }
            }
        }
        try self.checkRecovered()
    }

    private mutating func checkRecovered() throws {
        let found = self.termFiles.state
        guard self.savedTerms.contains(found) else { throw Violation("term and vote \(found), of \(self.savedTerms)") }
        self.savedTerms = [found]

        let held = try self.held()
        let acknowledged = self.acknowledged.count.load(ordering: .relaxed)
        for state in self.states[acknowledged...] {
            var expected = state
            if held.previousIndex > expected.previousIndex {
                guard held.previousIndex <= expected.lastIndex else { continue }
                expected.dropHead(to: held.previousIndex)
            }
            if expected == held {
                self.states = [held]
                self.acknowledged.count.store(0, ordering: .relaxed)
                return
            }
        }
        throw Violation(
            "found \(held.previousIndex)..\(held.lastIndex) \(held.checkpoints), acknowledged \(acknowledged) of "
                + self.states.map { "\($0.previousIndex)..\($0.lastIndex) \($0.checkpoints)" }.joined(separator: "; "))
    }

    /// Everything that the log holds, read from where it is.
    func held() throws -> Model {
        var held = Model(
            previousIndex: self.machine.map.previousIndex, previousTerm: self.machine.map.previousTerm,
            checkpoints: self.machine.checkpoints)
        while held.lastIndex < self.machine.map.lastIndex {
            let range = held.lastIndex.next...self.machine.map.lastIndex
            let piece: [Entry]
            if let first = self.machine.recent.first, first <= range.lowerBound {
                piece = self.machine.recent.entries(in: range, maximumSize: 1000)
            } else {
                let part = self.machine.part(for: range)
                piece = try part.read(self.files[part.segment]!, logID: self.machine.logID, maximumSize: 1000)
            }
            guard let first = piece.first, first.index == range.lowerBound else { throw Violation("nothing was read") }
            held.entries += piece
        }
        guard held.lastTerm == self.machine.map.lastTerm else { throw Violation("the last term differs") }
        return held
    }

    /// Checks a log that runs against its model.
    func checkRunning() throws {
        var expected = self.model
        expected.dropHead(to: self.machine.map.previousIndex)
        guard try self.held() == expected else { throw Violation("what is read is not what was written") }
    }
}
