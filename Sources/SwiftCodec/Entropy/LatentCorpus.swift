// SPDX-License-Identifier: BSD-3-Clause

#if !hasFeature(Embedded)

  /// Latents of many pictures at one rate point: what entropy models are fitted to.
  ///
  /// The samples of a channel lie one after the other, picture by picture, row by row; one zero follows the last.
  public struct LatentCorpus: Sendable {
    public let channels: Int
    /// Width and height of each picture's latent.
    private(set) var sizes: [(width: Int, height: Int)] = []
    private(set) var values: [[Int16]]

    public init(channels: Int) {
      self.channels = channels
      values = [[Int16]](repeating: [0], count: channels)
    }

    /// Samples of one channel.
    public var positions: Int { values[0].count - 1 }
    public var pictures: Int { sizes.count }

    /// Adds a latent: [channels][height][width].
    public mutating func append(_ latent: UnsafePointer<Int16>, width: Int, height: Int) {
      let size = width * height
      sizes.append((width, height))
      for c in 0..<channels {
        values[c].removeLast()
        values[c].append(contentsOf: UnsafeBufferPointer(start: latent + c * size, count: size))
        values[c].append(0)
      }
    }
  }

  /// Computes latents with the integer network, as the encoder does. One thread at a time may use it.
  public final class LatentAnalyser {
    private var prepared: PreparedModel

    public init(model: Model) { prepared = PreparedModel(model) }

    /// Adds the latent of a picture to a corpus of `model.latentChannels(ratePoint:)` channels.
    public func add(
      _ picture: Picture, ratePoint: Int, to corpus: inout LatentCorpus, execution: Execution = Execution()
    ) {
      let model = prepared.model
      precondition(corpus.channels == model.latentChannels(ratePoint: ratePoint))
      let layout = LatentLayout(model, width: picture.width, height: picture.height, segmentRows: 65536)
      let latent = prepared.program(.analysis, ratePoint: ratePoint, cpu: execution.cpu)
        .analyse(picture, layout, channels: corpus.channels, execution)
      corpus.append(latent.segments[0].base, width: layout.width, height: layout.height)
    }
  }

  /// Neighbours of every sample of a corpus, by index; the zero behind the last sample for those that do not exist.
  struct CorpusGrid {
    let count: Int
    /// The first sample of each picture, and `count`.
    let starts: [Int]
    /// Left, left of left, top left, top, top right, top of top.
    let causal: [[Int32]]
    /// 3×3, row by row.
    let around: [[Int32]]

    init(_ sizes: [(width: Int, height: Int)]) {
      var starts = [0]
      for size in sizes { starts.append(starts[starts.count - 1] + size.width * size.height) }
      let total = starts[starts.count - 1]
      func table(_ dy: Int, _ dx: Int, isOwn: Bool) -> [Int32] {
        var out = [Int32](repeating: Int32(total), count: total)
        for (size, start) in zip(sizes, starts) {
          for y in 0..<size.height {
            for x in 0..<size.width {
              let to = start + y * size.width + x
              let ny = y + dy
              let nx = x + dx
              if isOwn {
                // As the coder sees it: FORMAT.md §1.6.
                let from =
                  ny < 0
                  ? (y: 0, x: nx + 2 * ny) : nx < 0 ? (y: ny - 1, x: 0) : (y: ny, x: min(nx, size.width - 1))
                if from.y >= 0, from.x >= 0 { out[to] = Int32(start + from.y * size.width + from.x) }
              } else {
                let cy = min(max(ny, 0), size.height - 1)
                out[to] = Int32(start + cy * size.width + min(max(nx, 0), size.width - 1))
              }
            }
          }
        }
        return out
      }
      count = total
      self.starts = starts
      causal = [(0, -1), (0, -2), (-1, -1), (-1, 0), (-1, 1), (-2, 0)].map { table($0.0, $0.1, isOwn: true) }
      around = (0..<9).map { table($0 / 3 - 1, $0 % 3 - 1, isOwn: false) }
    }
  }

#endif
