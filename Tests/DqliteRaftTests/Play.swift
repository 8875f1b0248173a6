import DqliteRaft
import Testing

@testable import struct DqliteRaft.Raft

/// A script for a stage. A line is one thing that happens, or one that must be so; `#` begins a comment.
///
///     voters 3                 a cluster whose log is its configuration
///     log 2 1 1 3              before the play, node 2 has entries of these terms after its configuration
///     terms 7                  before the play, all are in this term
///     standby 4, spare 4       (after voters) a member with that role and an empty log
///     elect 1                  the election timeouts of all pass, and node 1 stands; everything is delivered
///     campaign 1               node 1 stands, and nothing is delivered yet
///     deliver                  everything on its way arrives, and everything that follows from it
///     tick 1 3, run 3          three ticks of node 1; of everybody, with everything delivered
///     pass 1                   node 1's clock goes on for an election timeout without a leader
///     propose 1 word           node 1 is asked to replicate a word
///     add 1 4, assign 1 4 voter, remove 1 4      node 1 is asked to change the configuration
///     transfer 1 2, read 1 7   node 1 is asked to hand over, or for an index for read 7
///     cut 1 2, isolate 1, heal links
///     slow 1, persist 1        node 1's disk stops; finishes all it was given
///     crash 1, restart 1
///     expect 1 leader term 2 commit 3 last 4 durable 4 of 1      what node 1 is
///     expect 1 log 1 1 2       the terms of its log
///     expect 1 applied a b     the words applied
///     expect 1 reads 7@3 8@never
///     expect 1 voters 1 2 3
///     expect refused           the last request was refused; `expect accepted`: it was not
struct Play {
    private var stage = Stage()
    private var refusal: RaftError?

    static func perform(_ script: String, sourceLocation: SourceLocation = #_sourceLocation) {
        var play = Play()
        for (number, line) in script.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let words = line.prefix { $0 != "#" }.split(separator: " ").map(String.init)
            guard let verb = words.first else { continue }
            if verb == "expect" {
                for failure in play.check(Array(words.dropFirst())) {
                    Issue.record("line \(number + 1), \(line): \(failure)", sourceLocation: sourceLocation)
                }
            } else if !play.act(verb, Array(words.dropFirst())) {
                Issue.record("line \(number + 1) is not understood: \(line)", sourceLocation: sourceLocation)
            }
        }
    }

    private mutating func act(_ verb: String, _ words: [String]) -> Bool {
        let numbers = words.compactMap { UInt64($0) }
        switch (verb, numbers.count) {
        case ("voters", 1): self.stage = Stage(voters: Int(numbers[0]))
        case ("standby", 1), ("spare", 1): self.addMember(numbers[0], verb == "spare" ? .spare : .standBy)
        case ("log", 1...):
            self.stage.add(
                NodeID(numbers[0]),
                TestStorage(self.stage[numbers[0]].raft.configuration, terms: Array(numbers.dropFirst())))
        case ("terms", 1):
            for (id, node) in self.stage.nodes {
                node.storage.hardState.term = Term(numbers[0])
                self.stage.add(id, node.storage)
            }
        case ("elect", 1): self.stage.elect(numbers[0])
        case ("campaign", 1):
            self.stage.forgetLeader(NodeID(numbers[0]))
            self.stage[numbers[0]].raft.campaign(.preVote)
            self.stage.process(NodeID(numbers[0]))
        case ("deliver", 0): self.stage.deliver()
        case ("tick", 1...): self.stage.tick(numbers[0], times: numbers.count > 1 ? Int(numbers[1]) : 1)
        case ("run", 1): self.stage.run(ticks: Int(numbers[0]))
        case ("pass", 1): self.stage.forgetLeader(NodeID(numbers[0]))
        case ("cut", 2):
            self.stage.blocked.insert([NodeID(numbers[0]), NodeID(numbers[1])])
            self.stage.blocked.insert([NodeID(numbers[1]), NodeID(numbers[0])])
        case ("isolate", 1): self.stage.isolate(NodeID(numbers[0]))
        case ("heal", 0): self.stage.blocked = []
        case ("slow", 1): self.stage[numbers[0]].diskIsSlow = true
        case ("persist", 1): self.stage.persist(NodeID(numbers[0]))
        case ("crash", 1): self.stage.crash(numbers[0])
        case ("restart", 1): self.stage.restart(numbers[0])
        default: return self.ask(verb, words, numbers)
        }
        return true
    }

    private mutating func addMember(_ id: UInt64, _ role: Configuration.Role) {
        var configuration = self.stage[1].raft.configuration
        configuration.servers.append(
            Configuration.Server(id: NodeID(id), address: "node-\(id)", role: role))
        for other in self.stage.nodes.keys { self.stage.add(other, TestStorage(configuration)) }
        self.stage.add(NodeID(id), TestStorage(nil))
    }

    /// What a node may refuse.
    private mutating func ask(_ verb: String, _ words: [String], _ numbers: [UInt64]) -> Bool {
        guard let id = numbers.first else { return false }
        let term = self.stage[id].raft.term
        self.refusal = nil
        do throws(RaftError) {
            switch (verb, words.count, numbers.count) {
            case ("propose", 2, _): _ = try self.stage[id].raft.propose(Array(words[1].utf8), term: term)
            case ("add", 2, 2):
                let change = ConfigurationChange.add(NodeID(numbers[1]), address: "node-\(numbers[1])")
                try self.stage[id].raft.proposeConfiguration(change, term: term)
            case ("assign", 3, 2):
                let roles = ["voter": Configuration.Role.voter, "standby": .standBy, "spare": .spare]
                guard let role = roles[words[2]] else { return false }
                try self.stage[id].raft.proposeConfiguration(.assign(NodeID(numbers[1]), role), term: term)
            case ("remove", 2, 2): try self.stage[id].raft.proposeConfiguration(.remove(NodeID(numbers[1])), term: term)
            case ("transfer", 2, 2): try self.stage[id].raft.transferLeadership(to: NodeID(numbers[1]))
            case ("read", 2, 2): try self.stage[id].raft.readIndex(numbers[1])
            default: return false
            }
        } catch { self.refusal = error }
        self.stage.process(NodeID(id))
        return true
    }

    /// What is not as the words say.
    private func check(_ words: [String]) -> [String] {
        if words == ["refused"] { return self.refusal == nil ? ["it was not"] : [] }
        if words == ["accepted"] { return self.refusal.map { ["\($0)"] } ?? [] }
        guard let id = words.first.flatMap({ UInt64($0) }), words.count > 1 else { return ["of whom?"] }
        let node = self.stage[id]
        let raft = node.raft
        let list = words.dropFirst(2).joined(separator: " ")
        func compare(_ found: [String]) -> [String] {
            let found = found.joined(separator: " ")
            return found == list ? [] : ["it is \(found)"]
        }
        switch words[1] {
        case "log":
            return compare((0...raft.lastIndex.rawValue).dropFirst().map { "\(raft.log.term(at: LogIndex($0))!)" })
        case "applied":
            return compare(node.applied.filter { $0.kind == .command }.map { String(decoding: $0.data, as: UTF8.self) })
        case "reads":
            return compare(node.readStates.map { "\($0.context)@\($0.index.map(\.description) ?? "never")" })
        case "voters": return compare(raft.configuration.voters.map(\.description))
        default: break
        }
        let facts = [
            "term": raft.term.description, "commit": raft.commitIndex.description, "last": raft.lastIndex.description,
            "durable": raft.durableIndex.description, "of": raft.leader?.description ?? "nobody",
        ]
        var rest = words.dropFirst()
        var failures: [String] = []
        while let word = rest.popFirst() {
            if let fact = facts[word] {
                let expected = rest.popFirst() ?? "?"
                if fact != expected { failures.append("\(word) is \(fact)") }
            } else if "\(raft.role)" != word {
                failures.append("it is \(raft.role)")
            }
        }
        return failures
    }
}
