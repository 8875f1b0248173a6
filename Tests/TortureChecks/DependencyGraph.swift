/// Which transaction comes before which.
package struct DependencyGraph {
    package enum Kind: String, Hashable {
        case overwrites = "is followed in a list by"
        case reads = "is read by"
        case missed = "did not see"
        case precedes = "had ended before the beginning of"
    }

    package struct Edge: Hashable {
        package var from: Int
        package var to: Int
        package var kind: Kind
    }

    private var edges: [[(to: Int, kind: Kind)]]

    package init(count: Int) { self.edges = Array(repeating: [], count: count) }

    package mutating func add(_ from: Int, _ to: Int, _ kind: Kind) {
        if from != to { self.edges[from].append((to, kind)) }
    }

    /// A short cycle of each component that has one.
    package func cycles() -> [[Edge]] {
        self.components().filter { $0.count > 1 }.map { component in
            let members = Set(component)
            // The shortest of some: there may be very many.
            return component.prefix(32).compactMap { self.cycle(from: $0, within: members) }
                .min { $0.count < $1.count }!
        }
    }

    /// The shortest way from a transaction back to it.
    private func cycle(from start: Int, within members: Set<Int>) -> [Edge]? {
        var cameBy: [Int: Edge] = [:]
        var queue = [start]
        var next = 0
        while next < queue.count {
            let node = queue[next]
            next += 1
            for (to, kind) in self.edges[node] where members.contains(to) {
                let edge = Edge(from: node, to: to, kind: kind)
                if to == start {
                    var path = [edge]
                    while path.last!.from != start { path.append(cameBy[path.last!.from]!) }
                    return path.reversed()
                }
                guard cameBy[to] == nil else { continue }
                cameBy[to] = edge
                queue.append(to)
            }
        }
        return nil
    }

    /// The strongly connected components, by Tarjan's algorithm, without recursion.
    private func components() -> [[Int]] {
        var components: [[Int]] = []
        var numbers = [Int](repeating: -1, count: self.edges.count)
        var lowest = numbers
        var isOnStack = [Bool](repeating: false, count: self.edges.count)
        var stack: [Int] = []
        var counter = 0
        for root in self.edges.indices where numbers[root] < 0 {
            var path: [(node: Int, edge: Int)] = [(root, 0)]
            while let (node, edge) = path.last {
                if edge == 0 {
                    numbers[node] = counter
                    lowest[node] = counter
                    counter += 1
                    stack.append(node)
                    isOnStack[node] = true
                }
                if edge < self.edges[node].count {
                    path[path.count - 1].edge += 1
                    let to = self.edges[node][edge].to
                    if numbers[to] < 0 {
                        path.append((to, 0))
                    } else if isOnStack[to] {
                        lowest[node] = min(lowest[node], numbers[to])
                    }
                    continue
                }
                path.removeLast()
                if let parent = path.last?.node { lowest[parent] = min(lowest[parent], lowest[node]) }
                guard lowest[node] == numbers[node] else { continue }
                var component: [Int] = []
                repeat {
                    component.append(stack.removeLast())
                    isOnStack[component.last!] = false
                } while component.last! != node
                components.append(component)
            }
        }
        return components
    }
}
