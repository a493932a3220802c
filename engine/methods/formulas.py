r"""The formula of each method, in LaTeX without words, so that it reads the same in every language.

y      the score that is asked for           x     the photo, x' what it is compared with
A      the values of the layer               c, p  channels, places
R      what is carried back, f the value     a, w  what comes into a call, and its weights
"""

PART = r", \quad "  # between the parts of a formula
GRADIENT = r"\frac{\partial y}{\partial x}"
AT_LAYER = r"\frac{\partial y}{\partial A_c}"
MEAN = r"\frac{1}{hw} \sum_p \frac{\partial y}{\partial A_{cp}}"
GUIDED = r"R^{l} = [f^{l} > 0] \cdot [R^{l+1} > 0] \cdot R^{l+1}"
CAM = r"\max\left(0, \sum_c w_c\, A_c\right), \quad w_c = %s"
NOISY = r"\frac{\partial y}{\partial x}(x + \sigma\, \epsilon_k)"
LINE = r"(x - x') \cdot \frac{\partial y}{\partial x}\left(x' + t\,(x - x')\right)"
SHARE = r"R_i = \sum_j \frac{%s}{%s}\, R_j"
EPSILON = SHARE % (r"a_i w_{ij}", r"z_j \pm \varepsilon")
VALUES = EPSILON + r", \quad R_V = V \cdot \left(A^T \frac{R}{A V}\right)"
PLUS = SHARE % (r"(a_i w_{ij})^+", r"\sum_k (a_k w_{kj})^+")
GAMMA = SHARE % (r"a_i (w_{ij} + \gamma w_{ij}^+)", r"\sum_k a_k (w_{kj} + \gamma w_{kj}^+)")
ALPHA_BETA = (
    r"R_i = \sum_j \left( 2\, \frac{(a_i w_{ij})^+}{\sum_k (a_k w_{kj})^+} - "
    r"\frac{(a_i w_{ij})^-}{\sum_k (a_k w_{kj})^-} \right) R_j"
)
FLAT = r"R_p = \sum_j \frac{1}{\sum_k 1}\, R_j"
BOX = SHARE % (
    r"x_i w_{ij} - l\, w_{ij}^+ - h\, w_{ij}^-", r"\sum_k x_k w_{kj} - l\, w_{kj}^+ - h\, w_{kj}^-"
)  # fmt: skip
ROLLOUT = r"r^T \prod_{b = L}^{1} %s"
FORMULAS = {
    "gradient": GRADIENT,
    "saliency": r"\max_c \left| \frac{\partial y}{\partial x_c} \right|",
    "input_x_gradient": r"x \cdot " + GRADIENT,
    "deconvnet": r"R^{l} = [R^{l+1} > 0] \cdot R^{l+1}",
    "guided_backprop": GUIDED,
    "full_grad": (
        r"\psi\left(x \cdot \frac{\partial y}{\partial x}\right) + \sum_{b} \psi\left(b \cdot \frac{\partial y}"
        r"{\partial b}\right), \quad \psi(m) = \sum_c \frac{|m_c| - \min |m|}{\max |m| - \min |m|}"
    ),
    "cam": r"\sum_c w_c\, A_c, \quad w_c = \sum_p \frac{\partial y}{\partial A_{cp}}",
    "grad_cam": CAM % MEAN,
    "guided_grad_cam": GUIDED + r", \quad R^0 \cdot " + CAM % MEAN,
    "hires_cam": r"\max\left(0, \sum_c A_c \cdot \frac{\partial y}{\partial A_c}\right)",
    "layer_cam": rf"\max\left(0, \sum_c A_c \cdot \max\left(0, {AT_LAYER}\right)\right)",
    "grad_cam_plus_plus": CAM % (
        r"\sum_p \frac{g_{cp}}{2 + g_{cp} \sum_q A_{cq}}, \quad "
        r"g = \max\left(0, \frac{\partial y}{\partial A}\right)"
    ),
    "xgrad_cam": CAM % r"\frac{\sum_p A_{cp}\, \partial y / \partial A_{cp}}{\sum_p A_{cp}}",
    "eigen_cam": r"A\, v_1, \quad A = U \Sigma V^{T}",
    "lrp_epsilon_plus": PLUS,
    "lrp_epsilon_gamma_box": rf"{GAMMA}, \quad {BOX}",
    "lrp_epsilon": EPSILON + r", \quad z_j = \sum_k a_k w_{kj} + b_j",
    "lrp_epsilon_plus_flat": rf"{PLUS}, \quad {FLAT}",
    "lrp_epsilon_alpha2_beta1": ALPHA_BETA,
    "lrp_epsilon_alpha2_beta1_flat": rf"{ALPHA_BETA}, \quad {FLAT}",
    "attn_lrp": EPSILON + r", \quad R_A = \frac{1}{2}\, A \cdot \left(\frac{R}{A V} V^T\right)",
    "cp_lrp": VALUES,
    "libragrad": VALUES + r", \quad R_a = R_b = \frac{1}{2}\, R_{ab}",
    "attention_rollout": ROLLOUT % r"\frac{1}{2} \left( I + \mathrm{mean}_h\, A_b \right)",
    "gradient_rollout": ROLLOUT % (
        r"\left( I + \mathrm{mean}_h \max\left(0, A_b \cdot \frac{\partial y}{\partial A_b}\right) \right)"
    ),
    "excitation_backprop": PLUS,
    "contrastive_excitation_backprop": PLUS + r", \quad R(y) - R(-y)",
    "smooth_grad": rf"\frac{{1}}{{n}} \sum_{{k=1}}^{{n}} {NOISY}",
    "smooth_grad_squared": rf"\frac{{1}}{{n}} \sum_{{k=1}}^{{n}} \left( {NOISY} \right)^2",
    "var_grad": rf"\mathrm{{Var}}_k\, {NOISY}",
    "integrated_gradients": rf"\int_0^1 {LINE}\, dt",
    "expected_gradients": rf"\mathbb{{E}}_{{x', t}}\left[ {LINE} \right]",
    "deep_lift_multipliers": r"m_x = m_f\, \frac{f(x) - f(x')}{x - x'}",
    "deep_lift": r"(x - x') \cdot m_x, \quad m_x = m_f\, \frac{f(x) - f(x')}{x - x'}",
    "class_competition": (
        r"m_1 \cdot \frac{e^{m_1 / \tau}}{\sum_k e^{m_k / \tau}}, \quad m_k = \sum_c A_c \cdot "
        r"\frac{\partial y_k}{\partial A_c}"
    ),
    "occlusion": r"y(x) - y(x_{-p})",
    "rise": r"\frac{1}{n \cdot \mathbb{E}[M]} \sum_{k=1}^{n} y(x \cdot M_k)\, M_k",
    "recipro_cam": r"y(A \cdot 1_p)",
    "ablation_cam": CAM % r"\frac{y - y(A_{-c})}{y}",
    "score_cam": CAM % r"\frac{e^{y(x \cdot A_c)}}{\sum_k e^{y(x \cdot A_k)}}",
}  # fmt: skip
