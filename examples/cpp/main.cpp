// A photo in, the five best classes and a heatmap out: libtorch and one file that explains itself, nothing else.

#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/jit_exception.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/script.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using at::Tensor;
using Strings = std::vector<std::string>;
using Error = std::runtime_error;

const char* const usage = "usage: explain MODEL.pt PHOTO.ppm OUT.ppm [METHOD [LAYER [CLASS]]] [--time] [--raw FILE]";

// "P6", width, height and 255, with white space and comments before each, one white space, then the pixels' bytes.
Tensor read_ppm(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error(path + " can't be opened: is there such a photo?");
    if (file.get() != 'P' || file.get() != '6') throw Error(path + " is not a binary PPM (P6): convert the photo");
    auto number = [&](const std::string& what) -> int64_t {
        std::string comment;
        while (file.peek() == '#' || std::isspace(file.peek()))
            if (file.get() == '#') std::getline(file, comment);
        int value = 0;
        if (!(file >> value) || value < 1) throw Error(path + " has no " + what + " in its header");
        return value;
    };
    const int64_t width = number("width"), height = number("height"), largest = number("largest value");
    if (largest != 255) throw Error(path + " has values up to " + std::to_string(largest) + ": save it with 255");
    if (!std::isspace(file.get())) throw Error(path + " has no white space between header and pixels");
    // The file is asked first, so that a wrong header allocates nothing.
    const int64_t bytes = static_cast<int64_t>(std::filesystem::file_size(path)) - file.tellg();
    if (bytes / 3 / width < height) throw Error(path + " is cut short: it ends before its last pixel");
    Tensor photo = torch::empty({height, width, 3}, torch::kUInt8);
    if (!file.read(static_cast<char*>(photo.data_ptr()), photo.numel())) throw Error(path + " can't be read");
    return photo;
}

void write(const std::string& path, const std::string& head, const void* data, int64_t bytes) {
    std::ofstream file(path, std::ios::binary);
    file << head;
    file.write(static_cast<const char*>(data), bytes);
    if (!file.flush()) throw Error(path + " can't be written: is there such a folder?");
}

torch::jit::Module load(const std::string& path) {
    if (!std::filesystem::is_regular_file(path)) throw Error("there is no file " + path + ": export it first");
    torch::jit::Module net;
    try {
        net = torch::jit::load(path);
    } catch (const std::exception&) {
        throw Error(path + " is cut short or not a TorchScript file at all: export it again");
    }
    if (!net.find_method("overlay")) throw Error(path + " does not explain itself: export it again, with ConvLens");
    return net;
}

Strings names(const torch::jit::Module& net, const std::string& list) {
    Strings found;
    for (const c10::IValue& name : net.attr(list).toListRef()) found.push_back(name.toStringRef());
    return found;
}

// A layer or class given by name or number. The file itself refuses a number that is out of range.
int64_t position(const std::string& given, const Strings& names, const std::string& what) {
    const auto found = std::find(names.begin(), names.end(), given);
    if (found != names.end()) return found - names.begin();
    int64_t number = 0;
    const auto [end, fault] = std::from_chars(given.data(), given.data() + given.size(), number);
    if (fault == std::errc() && end == given.data() + given.size()) return number;
    throw Error("no " + what + " is called " + given + ": give a number from 0 to " +
                std::to_string(names.size() - 1) + ", or a name such as " + names.back());
}

// One attribution: of one pass, or of many with what holds where nothing is said of them (see `options` in the file).
Tensor explain(torch::jit::Module& net, const Tensor& x, const Tensor& seed, const std::string& method, int64_t layer) {
    const auto many = net.attr("path_of").toGenericDict();
    if (!many.contains(method)) return net.run_method("explain", x, seed, method, layer).toTensor();
    const c10::Dict<std::string, double> options;
    const Tensor none = torch::empty({0});
    return net.run_method("explain_along", x, seed, method, layer, options, none, none).toTuple()->elements()[0].toTensor();
}

void run(int count, char** given) {
    Strings words;
    std::string raw;
    bool timed = false;
    for (int i = 1; i < count; ++i) {
        const std::string word = given[i];
        if (word == "--time") timed = true;
        else if (word == "--raw" && i + 1 < count) raw = given[++i];
        else if (word.starts_with("--")) throw Error(usage);
        else words.push_back(word);
    }
    if (words.size() < 3 || words.size() > 6) throw Error(usage);

    const c10::InferenceMode no_autograd;
    // The listing is specialised when it is exported. Profiling it once more only makes the first two calls many
    // times as slow as the rest; without it the second call is as fast as the tenth. A setting of this thread.
    const torch::jit::GraphOptimizerEnabledGuard no_profiling(false);

    torch::jit::Module net = load(words[0]);
    const Tensor photo = read_ppm(words[1]);
    const Strings labels = names(net, "labels"), layers = names(net, "layers");
    const std::string method = words.size() > 3 ? words[3] : "grad_cam";
    const int64_t layer = words.size() > 4 ? position(words[4], layers, "layer") : -1;
    std::optional<int64_t> wanted;
    if (words.size() > 5) wanted = position(words[5], labels, "class");

    const Tensor x = net.run_method("preprocess", photo).toTensor();
    Tensor logits, map;
    for (int call = 1; call <= (timed ? 10 : 1); ++call) {
        const auto start = std::chrono::steady_clock::now();
        logits = net.forward({x}).toTensor();
        const int64_t target = wanted.value_or(logits.argmax().item<int64_t>());
        const Tensor seed = net.run_method("one_hot", target).toTensor();
        map = explain(net, x, seed, method, layer);
        const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
        if (timed && (call < 3 || call == 10)) std::printf("call %d: %.1f ms\n", call, spent.count());
    }
    // Values of each channel are drawn by the largest of them, whichever way it points.
    const Tensor heat = map.dim() == 4 ? map.abs().amax(1) : map;
    const Tensor picture = net.run_method("overlay", photo, heat.squeeze(0), 0.85).toTensor().contiguous();

    const auto [values, indices] = logits[0].to(torch::kFloat).softmax(0).topk(std::min<int64_t>(5, logits.size(1)));
    for (int64_t i = 0; i < values.size(0); ++i) {
        const auto index = indices[i].item<int64_t>();
        std::printf("%5.1f %%  %s (%ld)\n", 100 * values[i].item<double>(), labels[index].c_str(), long(index));
    }
    const std::string size = std::to_string(picture.size(1)) + " " + std::to_string(picture.size(0));
    write(words[2], "P6\n" + size + "\n255\n", picture.data_ptr(), picture.numel());
    if (!raw.empty()) {  // torch.load reads it in Python
        const auto file = torch::jit::pickle_save(c10::ivalue::Tuple::create(logits, map));
        write(raw, "", file.data(), static_cast<int64_t>(file.size()));
    }
}

int main(int count, char** given) {
    std::string message;
    try {
        run(count, given);
        return 0;
    } catch (const torch::jit::JITException& error) {  // raised by the file: its words without TorchScript's trace
        message = error.getOriginalMsg().value_or(error.what());
    } catch (const c10::Error& error) {
        message = error.what_without_backtrace();
    } catch (const std::exception& error) {
        message = error.what();
    }
    std::fprintf(stderr, "%s\n", message.substr(0, message.find('\n')).c_str());
    return 1;
}
